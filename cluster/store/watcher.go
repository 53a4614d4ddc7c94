package store

import (
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// backlog is how many events a watcher may be behind before it is stopped.
const backlog = 1024

// watchers are those of one collection.
type watchers struct {
	mu       sync.RWMutex                     // the collection's
	byBucket map[string]map[*Watcher]struct{} // "" watches all
	bucket   func(api.Object) string
	retired  error // why watches end, once the kind is no longer served
}

// offer sends an event to those that watch the object, with the lock held.
func (ws *watchers) offer(e *Event) {
	for w := range ws.byBucket[""] {
		w.offer(e)
	}
	if ws.bucket == nil || len(ws.byBucket) == 0 {
		return
	}
	var now, before string
	if e.Type != watch.Deleted {
		now = ws.bucket(e.Item.Object())
	}
	if e.Prev != nil {
		before = ws.bucket(e.Prev.Object())
	}
	if now != "" {
		for w := range ws.byBucket[now] {
			w.offer(e)
		}
	}
	if before != "" && before != now {
		for w := range ws.byBucket[before] {
			w.offer(e)
		}
	}
}

// closeAll ends every watch, with the lock held.
func (ws *watchers) closeAll() {
	for _, same := range ws.byBucket {
		for w := range same {
			w.close()
		}
	}
}

// Watcher is one stream of events.
type Watcher struct {
	all       *watchers
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
	w.all.mu.RLock()
	defer w.all.mu.RUnlock()
	return w.all.retired
}

// Stop ends the watch. It can be called more than once.
func (w *Watcher) Stop() {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
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
	same := w.all.byBucket[w.bucket]
	delete(same, w)
	if len(same) == 0 {
		delete(w.all.byBucket, w.bucket)
	}
	close(w.events)
}

// wants reports whether the watcher watches an object.
func (w *Watcher) wants(i *Item) bool {
	return i != nil && strings.HasPrefix(i.key, w.within) &&
		(w.bucket == "" || w.all.bucket(i.Object()) == w.bucket) &&
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
			e.left = &Event{Type: watch.Deleted, Item: e.Prev.moved(e.Revision), Prev: e.Prev, Revision: e.Revision}
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
