package store

import (
	"sync"
	"sync/atomic"

	"github.com/google/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// Collection is all objects of one kind: the cache, its recent history, its watchers.
// It has more than 30 methods: the operations, one a file, and the feed, which share its lock.
type Collection struct {
	store    *Store
	kind     *api.Kind
	resource schema.GroupResource
	prefix   string // of the keys
	head     []byte // of the values
	bucket   func(api.Object) string

	transformer atomic.Pointer[transforming] // nil: values are stored as they are

	// pending is what came while Serve reads the collection's state, for follow alone; nil
	// once the state is there.
	pending *[]batch

	// Only follow changes what is below, with the lock held; so it alone may read
	// without the lock.
	mu       sync.RWMutex
	items    *btree.BTreeG[*Item]
	broken   map[string]error // keys with a value that cannot be read
	rev      int64            // of the newest event
	history  history
	watchers map[string]map[*Watcher]struct{} // by bucket, "" watches all
	retired  error                            // why watches end, once the kind is no longer served
}

// batch is what happened to a collection at one revision.
type batch struct {
	rev     int64
	changes []*mvccpb.Event
}

func newCollection(s *Store, k *api.Kind) (*Collection, error) {
	h, err := head(k)
	if err != nil {
		return nil, err
	}
	c := &Collection{
		store: s, kind: k, bucket: s.Buckets[k], prefix: keyPrefix(k), head: h,
		resource: schema.GroupResource{Group: k.Group, Resource: k.Plural},
		items:    btree.NewG(32, func(a, b *Item) bool { return a.key < b.key }),
		broken:   map[string]error{},
		watchers: map[string]map[*Watcher]struct{}{},
	}
	return c, nil
}

// Kind is the kind of the objects.
func (c *Collection) Kind() *api.Kind { return c.kind }

// Len is the number of objects.
func (c *Collection) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.items.Len()
}

// lookup is the cached item of a key, nil if there is none, and the reason if what
// etcd has there cannot be read.
func (c *Collection) lookup(key string) (*Item, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.broken[key]; err != nil {
		return nil, unreadable(key, err)
	}
	item, _ := c.items.Get(&Item{key: key})
	return item, nil
}

// apply takes all that happened to the collection at one revision.
func (c *Collection) apply(rev int64, changes []*mvccpb.Event) {
	if c.pending != nil {
		*c.pending = append(*c.pending, batch{rev, changes})
		return
	}
	events := make([]*Event, 0, len(changes))
	bad := map[string]error(nil)
	for _, change := range changes {
		key := string(change.Kv.Key)
		if change.Type == mvccpb.Event_DELETE {
			events = c.removed(events, key, rev)
			continue
		}
		item, err := c.decode(key, change.Kv)
		if err != nil {
			c.store.Log.Error("an object in etcd cannot be read and is not served", "key", key, "err", err)
			if bad == nil {
				bad = map[string]error{}
			}
			bad[key] = err
			if !isTransformError(err) {
				events = c.removed(events, key, rev)
			}
			continue
		}
		events = c.stored(events, item)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		if len(c.broken) > 0 {
			delete(c.broken, string(change.Kv.Key))
		}
	}
	for key, err := range bad {
		c.broken[key] = err
	}
	for _, e := range events {
		c.take(e)
	}
	c.rev = rev
}

// stored adds the event of a new state of an object.
func (c *Collection) stored(events []*Event, item *Item) []*Event {
	prev, _ := c.items.Get(item)
	if prev == nil {
		return append(events, &Event{Type: watch.Added, Item: item, Revision: item.rev})
	}
	return append(events, &Event{Type: watch.Modified, Item: item, Prev: prev, Revision: item.rev})
}

// removed adds the event of an object's end, if it was known.
func (c *Collection) removed(events []*Event, key string, rev int64) []*Event {
	prev, _ := c.items.Get(&Item{key: key})
	if prev == nil {
		return events
	}
	return append(events, &Event{Type: watch.Deleted, Item: prev.moved(c, rev), Prev: prev, Revision: rev})
}

func (c *Collection) decode(key string, kv *mvccpb.KeyValue) (*Item, error) {
	value, err := c.plain(key, kv.Value)
	if err != nil {
		return nil, err
	}
	body, err := openValue(c.kind, value)
	if err != nil {
		return nil, err
	}
	return newItem(c, key, kv.ModRevision, body)
}

// take adds an event to the cache, with the lock held.
func (c *Collection) take(e *Event) {
	if e.Type == watch.Deleted {
		c.items.Delete(e.Item)
	} else {
		c.items.ReplaceOrInsert(e.Item)
	}
	c.history.add(e)
	for w := range c.watchers[""] {
		w.offer(e)
	}
	if c.bucket == nil || len(c.watchers) == 0 {
		return
	}
	var now, before string
	if e.Type != watch.Deleted {
		now = c.bucket(e.Item.Object())
	}
	if e.Prev != nil {
		before = c.bucket(e.Prev.Object())
	}
	if now != "" {
		for w := range c.watchers[now] {
			w.offer(e)
		}
	}
	if before != "" && before != now {
		for w := range c.watchers[before] {
			w.offer(e)
		}
	}
}

// replace makes the collection what etcd had at rev, which is read again after the
// events in between were lost. The first time there are no events, only the state.
func (c *Collection) replace(rev int64, kvs []*mvccpb.KeyValue, first bool) {
	present := make(map[string]bool, len(kvs))
	bad := map[string]error{}
	var changed []*Event
	for _, kv := range kvs {
		key := string(kv.Key)
		known, _ := c.items.Get(&Item{key: key})
		if known != nil && known.rev == kv.ModRevision {
			present[key] = true
			continue
		}
		item, err := c.decode(key, kv)
		if err != nil {
			c.store.Log.Error("an object in etcd cannot be read and is not served", "key", key, "err", err)
			bad[key] = err
			present[key] = isTransformError(err)
			continue
		}
		present[key] = true
		if known != nil && known.Object().GetUID() != item.Object().GetUID() {
			// Deleted and recreated; the deletion was before the new write.
			changed = c.removed(changed, key, item.rev)
			known = nil
		}
		e := &Event{Type: watch.Added, Item: item, Revision: item.rev}
		if known != nil {
			e.Type, e.Prev = watch.Modified, known
		}
		changed = append(changed, e)
	}
	var gone []*Event
	c.items.Ascend(func(i *Item) bool {
		if !present[i.key] {
			gone = c.removed(gone, i.key, rev)
		}
		return true
	})
	sortByRevision(changed)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = bad
	if first {
		for _, e := range changed {
			c.items.ReplaceOrInsert(e.Item)
		}
		c.rev, c.history.from = rev, rev
		return
	}
	for _, e := range append(changed, gone...) {
		c.take(e)
		c.rev = e.Revision
	}
}
