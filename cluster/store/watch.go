package store

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// backlog is how many events a watcher may be behind before it is stopped.
const backlog = 1024

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

// Watcher is one stream of events.
type Watcher struct {
	c         *Collection
	within    string
	keep      func(api.Object) bool
	bucket    string
	bookmarks bool

	// The collection's lock guards sending and closing.
	events  chan *Event
	closed  bool
	unwatch func() bool
}

// Events is closed when the watch is over: stopped, cancelled because the reader was too
// slow, or terminated with the store or because its kind was retired.
func (w *Watcher) Events() <-chan *Event { return w.events }

// Err is why a watch cannot be continued at another server: its kind was retired. It is
// nil for the other ends.
func (w *Watcher) Err() error {
	w.c.mu.RLock()
	defer w.c.mu.RUnlock()
	return w.c.retired
}

// Stop ends the watch. It can be called more than once.
func (w *Watcher) Stop() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.close()
}

// close ends the watch, with the collection's lock held.
func (w *Watcher) close() {
	if w.closed {
		return
	}
	w.closed = true
	if w.unwatch != nil {
		w.unwatch()
	}
	same := w.c.watchers[w.bucket]
	delete(same, w)
	if len(same) == 0 {
		delete(w.c.watchers, w.bucket)
	}
	close(w.events)
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
	w := &Watcher{c: c, within: c.within(namespace), keep: o.Keep, bookmarks: o.Bookmarks}
	if c.bucket != nil {
		w.bucket = o.Bucket
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	first, err := w.backlog(rev, initial, o)
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
	if c.watchers[w.bucket] == nil {
		c.watchers[w.bucket] = map[*Watcher]struct{}{}
	}
	c.watchers[w.bucket][w] = struct{}{}
	w.unwatch = context.AfterFunc(ctx, w.Stop)
	return w, nil
}

// backlog is what a new watcher gets before anything new happens.
func (w *Watcher) backlog(rev int64, initial bool, o WatchOptions) (first []*Event, err error) {
	c := w.c
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

// wants reports whether the watcher watches an object.
func (w *Watcher) wants(i *Item) bool {
	return i != nil && strings.HasPrefix(i.key, w.within) &&
		(w.bucket == "" || w.c.bucket(i.Object()) == w.bucket) &&
		(w.keep == nil || w.keep(i.Object()))
}

// view is what an event is to the watcher: itself, the appearance or disappearance of
// an object whose labels or fields changed, or nothing.
func (w *Watcher) view(e *Event) *Event {
	if !strings.HasPrefix(e.Item.key, w.within) {
		return nil
	}
	if w.keep == nil && w.bucket == "" {
		return e
	}
	is := e.Type != watch.Deleted && w.wants(e.Item)
	was := w.wants(e.Prev)
	switch {
	case is && !was && e.Prev != nil:
		if e.entered == nil {
			e.entered = &Event{Type: watch.Added, Item: e.Item, Revision: e.Revision}
		}
		return e.entered
	case is:
		return e
	case was && e.Type != watch.Deleted:
		if e.left == nil {
			e.left = &Event{Type: watch.Deleted, Item: e.Prev.moved(w.c, e.Revision), Prev: e.Prev, Revision: e.Revision}
		}
		return e.left
	case was:
		return e
	}
	return nil
}

// offer sends the watcher an event, with the collection's lock held. A watcher that is
// too far behind is ended: its client comes back and continues where it was.
func (w *Watcher) offer(e *Event) {
	if e = w.view(e); e == nil {
		return
	}
	select {
	case w.events <- e:
	default:
		w.close()
	}
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
	for _, same := range c.watchers {
		for w := range same {
			if !w.bookmarks {
				continue
			}
			if mark == nil {
				var err error
				if mark, err = c.bookmark(max(c.rev, c.store.progress.revision()), false); err != nil {
					c.store.Log.Error("making a bookmark", "kind", c.kind.Kind, "err", err)
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
		for _, same := range c.watchers {
			for w := range same {
				w.close()
			}
		}
		c.mu.Unlock()
	}
}
