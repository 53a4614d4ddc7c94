package store

import (
	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store/space"
)

// roomForNew returns an error if there is no space for a new object.
func (c *Collection) roomForNew(obj api.Object, size int) error {
	w := space.Write{Use: space.Growth, Size: int64(size), Growth: int64(size)}
	if c.essential(obj, size) {
		w.Use = space.Ending
	}
	return c.room(w)
}

// roomForUpdate returns an error if there is no space for obj, of that size, in the place of cur.
func (c *Collection) roomForUpdate(cur *Item, obj api.Object, size int) error {
	old := cur.Object()
	w := space.Write{Use: space.Upkeep, Size: int64(size), Growth: int64(size - cur.size)}
	switch began, ends := old.GetDeletionTimestamp() != nil, obj.GetDeletionTimestamp() != nil; {
	case w.Growth > space.MaxGrowth:
		w.Use = space.Growth
	case ends && !began:
		w.Use, w.Growth = space.Deletion, 0
	case ends && len(obj.GetFinalizers()) < len(old.GetFinalizers()), c.essential(obj, size):
		w.Use = space.Deletion
	case ends:
		w.Use = space.Ending
	}
	return c.room(w)
}

func (c *Collection) roomForDeletion() error { return c.room(space.Write{Use: space.Deletion}) }

func (c *Collection) room(w space.Write) error {
	if err := c.store.Room(w); err != nil {
		return insufficientStorage(err)
	}
	return nil
}

// essential reports whether nothing can be deleted without obj. What is large is not.
func (c *Collection) essential(obj api.Object, size int) bool {
	return size <= space.MaxEssential && c.store.Essential(c.format.kind, obj)
}
