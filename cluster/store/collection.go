package store

import (
	"sort"
	"strings"
	"sync/atomic"

	"github.com/google/btree"
	"go.etcd.io/etcd/api/v3/mvccpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// Collection is all objects of one kind: the cache, its recent history, its watchers.
// It has more than 30 methods: the operations, one a file, and the feed, which share its lock.
type Collection struct {
	store    *source
	format   *format
	resource schema.GroupResource
	prefix   string // of the keys

	transformer atomic.Pointer[transforming] // nil: values are stored as they are

	// pending is what came while Serve reads the collection's state, for follow alone; nil
	// once the state is there.
	pending *[]batch

	// Only follow changes what is below, with the lock of the watchers held; so it alone
	// may read without the lock.
	watchers
	items   *btree.BTreeG[*Item]
	broken  map[string]error // keys with a value that cannot be read
	rev     int64            // of the newest event
	history history
}

// batch is what happened to a collection at one revision.
type batch struct {
	rev     int64
	changes []*mvccpb.Event
}

func newCollection(s *source, k *api.Kind) (*Collection, error) {
	f, err := newFormat(k)
	if err != nil {
		return nil, err
	}
	c := &Collection{
		store: s, format: f, prefix: keyPrefix(k),
		resource: schema.GroupResource{Group: k.Group, Resource: k.Plural},
		items:    btree.NewG(32, func(a, b *Item) bool { return a.key < b.key }),
		broken:   map[string]error{},
		watchers: watchers{byBucket: map[string]map[*Watcher]struct{}{}, bucket: s.Buckets[k]},
	}
	return c, nil
}

// Kind is the kind of the objects.
func (c *Collection) Kind() *api.Kind { return c.format.kind }

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
		prev, _ := c.items.Get(item)
		events = append(events, stored(prev, item))
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

// stored is the event of a new state of an object.
func stored(prev, item *Item) *Event {
	if prev == nil {
		return &Event{Type: watch.Added, Item: item, Revision: item.rev}
	}
	return &Event{Type: watch.Modified, Item: item, Prev: prev, Revision: item.rev}
}

// removed adds the event of an object's end, if it was known.
func (c *Collection) removed(events []*Event, key string, rev int64) []*Event {
	prev, _ := c.items.Get(&Item{key: key})
	if prev == nil {
		return events
	}
	return append(events, &Event{Type: watch.Deleted, Item: prev.moved(rev), Prev: prev, Revision: rev})
}

func (c *Collection) decode(key string, kv *mvccpb.KeyValue) (*Item, error) {
	value, err := c.transformer.Load().plain(key, kv.Value)
	if err != nil {
		return nil, err
	}
	body, err := openValue(c.format.kind, value)
	if err != nil {
		return nil, err
	}
	return newItem(c.format, key, kv.ModRevision, body)
}

// take adds an event to the cache, with the lock held.
func (c *Collection) take(e *Event) {
	if e.Type == watch.Deleted {
		c.items.Delete(e.Item)
	} else {
		c.items.ReplaceOrInsert(e.Item)
	}
	c.history.add(e)
	c.offer(e)
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
		changed = append(changed, stored(known, item))
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

// missing is the error of a list of keys from start on within a prefix that would lack
// objects which cannot be transformed. The collection's lock is held.
func (c *Collection) missing(within, start string) error {
	if len(c.broken) == 0 {
		return nil
	}
	first := ""
	for key, err := range c.broken {
		if strings.HasPrefix(key, within) && key >= start && isTransformError(err) && (first == "" || key < first) {
			first = key
		}
	}
	if first == "" {
		return nil
	}
	return untransformable(first, c.broken[first])
}

// key names one object, ok is false for names that no object can have.
func (c *Collection) key(namespace, name string) (key string, ok bool) {
	if name == "" || strings.Contains(name, "/") {
		return "", false
	}
	if !c.format.kind.Namespaced {
		return c.prefix + name, true
	}
	if namespace == "" || strings.Contains(namespace, "/") {
		return "", false
	}
	return c.prefix + namespace + "/" + name, true
}

// within is the prefix of all keys in a namespace, "" being all namespaces.
func (c *Collection) within(namespace string) string {
	if namespace == "" || !c.format.kind.Namespaced {
		return c.prefix
	}
	return c.prefix + namespace + "/"
}

func (c *Collection) notFound(name string) error {
	return apierrors.NewNotFound(c.resource, name)
}

// collect is all items with keys from start on within a prefix.
func (c *Collection) collect(within, start string) []*Item {
	var items []*Item
	if start == c.prefix {
		items = make([]*Item, 0, c.items.Len())
	}
	c.items.AscendGreaterOrEqual(&Item{key: start}, func(i *Item) bool {
		if !strings.HasPrefix(i.key, within) {
			return false
		}
		items = append(items, i)
		return true
	})
	return items
}

func sortByRevision(events []*Event) {
	sort.SliceStable(events, func(a, b int) bool { return events[a].Revision < events[b].Revision })
}
