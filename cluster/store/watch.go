package store

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// WatchOptions are those of the API.
type WatchOptions struct {
	// ResourceVersion "" and "0" begin with the objects there are, as Added events
	// (unless SendInitialEvents is false); N continues after revision N.
	ResourceVersion string
	Match           metav1.ResourceVersionMatch
	// Keep selects objects, nil keeps all. It is called while the collection is locked,
	// for every change: it must be quick, and must not use the store.
	Keep func(api.Object) bool
	// Bucket keeps only objects for which Config.Buckets gives this value; "" is all.
	// It is much cheaper than Keep where thousands watch, each its own few objects.
	Bucket    string
	Bookmarks bool
	// SendInitialEvents begins with the objects there are, and a bookmark with the
	// annotation k8s.io/initial-events-end after them if Bookmarks is set.
	SendInitialEvents *bool
}

// Watch follows the objects of a namespace ("" is all) until ctx ends or Stop.
func (c *Collection) Watch(ctx context.Context, namespace string, o WatchOptions) (*Watcher, error) {
	rev, err := c.store.reach(ctx, o.ResourceVersion)
	if err != nil {
		return nil, err
	}
	initial := rev == 0
	if o.SendInitialEvents != nil {
		initial = *o.SendInitialEvents
	}
	w := &Watcher{all: &c.watchers, within: c.within(namespace), keep: o.Keep, bookmarks: o.Bookmarks}
	if c.bucket != nil {
		w.bucket = o.Bucket
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	first, err := c.backlog(w, rev, initial, o)
	if err == nil {
		err = c.retired
	}
	if err != nil {
		return nil, err
	}
	w.events = make(chan *Event, len(first)+backlog)
	for _, e := range first {
		w.events <- e
	}
	if c.byBucket[w.bucket] == nil {
		c.byBucket[w.bucket] = map[*Watcher]struct{}{}
	}
	c.byBucket[w.bucket][w] = struct{}{}
	w.unwatch = context.AfterFunc(ctx, w.Stop)
	return w, nil
}

// backlog is what a new watcher gets before anything new happens.
func (c *Collection) backlog(w *Watcher, rev int64, initial bool, o WatchOptions) (first []*Event, err error) {
	now := max(c.rev, c.store.progress.revision())
	switch {
	case initial:
		if err := c.missing(w.within, w.within); err != nil {
			return nil, err
		}
		for _, item := range c.collect(w.within, w.within) {
			if w.wants(item) {
				first = append(first, &Event{Type: watch.Added, Item: item, Revision: item.rev})
			}
		}
		if o.SendInitialEvents != nil && o.Bookmarks {
			mark, err := c.bookmark(now, true)
			if err != nil {
				return nil, err
			}
			first = append(first, mark)
		}
	case rev > 0:
		missed, ok := c.history.after(rev)
		if !ok {
			return nil, tooOld(rev, c.history.from)
		}
		for _, e := range missed {
			if e = w.view(e); e != nil {
				first = append(first, e)
			}
		}
	}
	return first, nil
}

// tick sends bookmarks to the watchers, and releases encodings that no request has used
// since the previous tick.
func (c *Collection) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendBookmarks()
	c.items.Ascend(func(i *Item) bool {
		i.sweep()
		return true
	})
}

func (c *Collection) sendBookmarks() {
	var mark *Event
	for _, same := range c.byBucket {
		for w := range same {
			if !w.bookmarks {
				continue
			}
			if mark == nil {
				var err error
				if mark, err = c.bookmark(max(c.rev, c.store.progress.revision()), false); err != nil {
					c.store.Log.Error("making a bookmark", "kind", c.format.kind.Kind, "err", err)
					return
				}
			}
			select {
			case w.events <- mark:
			default: // the events in the channel carry newer revisions
			}
		}
	}
}

// endWatches ends every watch with a bookmark, so that clients continue at the very
// revision at their next server.
func (s *Store) endWatches() {
	for _, c := range s.collections() {
		c.mu.Lock()
		c.sendBookmarks()
		c.closeAll()
		c.mu.Unlock()
	}
}

// bookmark is an event that only reports a revision. end marks the end of the initial
// events.
func (c *Collection) bookmark(rev int64, end bool) (*Event, error) {
	obj := c.format.kind.New()
	if end {
		obj.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	body, err := encodeBody(c.format.kind, obj)
	if err != nil {
		return nil, err
	}
	item, err := newItem(c.format, c.prefix, rev, body)
	if err != nil {
		return nil, err
	}
	return &Event{Type: watch.Bookmark, Item: item, Revision: rev}, nil
}
