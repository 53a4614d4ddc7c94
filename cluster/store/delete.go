package store

import "context"

// Delete removes an object if check (which may be nil) agrees to its present state. The
// item returned is the last state with the revision of the deletion.
func (c *Collection) Delete(ctx context.Context, namespace, name string, check func(cur *Item) error) (*Item, error) {
	last, rev, err := c.change(ctx, namespace, name, func(cur *Item) (*write, error) {
		if check != nil {
			if err := check(cur); err != nil {
				return nil, err
			}
		}
		if err := c.roomForDeletion(); err != nil {
			return nil, err
		}
		return &write{}, nil
	})
	if err != nil {
		return nil, err
	}
	c.store.noteWritten(rev)
	if e := c.await(ctx, last.key, rev); e != nil {
		return e.Item, nil
	}
	return last.moved(rev), nil
}
