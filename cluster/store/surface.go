package store

import (
	"context"
	"errors"
	"log/slog"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

var errNotYet = errors.New("store: this operation is still being written")

// MediaType is one of the encodings that the store keeps with an item.
type MediaType int

// The encodings. Others (YAML, CBOR) are made by the API server from the object.
const (
	JSON MediaType = iota
	Protobuf
)

// Item is one object at one revision, immutable and shared.
type Item struct{ obj api.Object }

// Object is the decoded object with its resourceVersion set. Never modify it.
func (i *Item) Object() api.Object { return i.obj }

// Revision is the etcd revision of the write that made the item.
func (i *Item) Revision() int64 { return 0 }

// Encoded is what a GET in that type answers. The bytes are shared: never modify them.
func (i *Item) Encoded(MediaType) ([]byte, error) { return nil, errNotYet }

// Event is one change, or a bookmark.
type Event struct {
	Type       watch.EventType
	Item, Prev *Item
	Revision   int64
}

// Frame is the whole watch frame for the event.
func (e *Event) Frame(MediaType) ([]byte, error) { return nil, errNotYet }

// Config is what a Store needs.
type Config struct {
	Client *clientv3.Client
	Kinds  []*api.Kind
	// OnlyWriter says that no other process writes to this etcd (it is embedded):
	// then the cache holds every acknowledged write without asking etcd.
	OnlyWriter bool
	// Buckets divide the watchers of a kind by a value of its objects (the pods'
	// spec.nodeName), see WatchOptions.Bucket.
	Buckets map[*api.Kind]func(api.Object) string
	Log     *slog.Logger
}

// Store is all collections over one etcd.
type Store struct{}

// New makes a store; Run starts it.
func New(Config) (*Store, error) { return nil, errNotYet }

// Run fills the caches and keeps them up to date until ctx ends.
func (s *Store) Run(ctx context.Context) error { return errNotYet }

// WaitReady returns when the caches hold what etcd held at the start.
func (s *Store) WaitReady(ctx context.Context) error { return errNotYet }

// Of is the collection of a kind (for an alias, of the kind it stands for), nil for a
// kind that is not stored.
func (s *Store) Of(k *api.Kind) *Collection { return nil }

// Collection is all objects of one kind.
type Collection struct{}

// Create writes a new object; AlreadyExists if there is one of that name.
func (c *Collection) Create(ctx context.Context, obj api.Object) (*Item, error) {
	return nil, errNotYet
}

// Get reads one object. resourceVersion "" sees every write acknowledged before the
// call, "0" is whatever the cache has, N is at least N.
func (c *Collection) Get(ctx context.Context, namespace, name, resourceVersion string) (*Item, error) {
	return nil, errNotYet
}

// Update replaces an object with what f makes of its present state; f is called again
// with newer state when another write came between. f's error ends the update and is
// returned as it is. What f returns must be f's own copy.
func (c *Collection) Update(ctx context.Context, namespace, name string, f func(cur *Item) (api.Object, error)) (*Item, error) {
	return nil, errNotYet
}

// Delete removes an object if check (which may be nil) agrees to its present state. The
// item returned is the last state with the revision of the deletion.
func (c *Collection) Delete(ctx context.Context, namespace, name string, check func(cur *Item) error) (*Item, error) {
	return nil, errNotYet
}

// ListOptions are those of the API.
type ListOptions struct {
	ResourceVersion string
	Match           metav1.ResourceVersionMatch
	Limit           int64
	Continue        string
	Keep            func(api.Object) bool // nil keeps all
}

// Page is a list, or a part of one.
type Page struct {
	Items     []*Item
	Revision  int64
	Continue  string
	Remaining *int64
}

// List reads the objects of a namespace ("" is all), in the order of their keys.
func (c *Collection) List(ctx context.Context, namespace string, o ListOptions) (*Page, error) {
	return nil, errNotYet
}

// WatchOptions are those of the API.
type WatchOptions struct {
	ResourceVersion   string
	Match             metav1.ResourceVersionMatch
	Keep              func(api.Object) bool // nil keeps all
	Bucket            string                // only objects for which Config.Buckets gives this; "" is all
	Bookmarks         bool
	SendInitialEvents *bool
}

// Watch follows the objects of a namespace ("" is all) until ctx ends or Stop.
func (c *Collection) Watch(ctx context.Context, namespace string, o WatchOptions) (*Watcher, error) {
	return nil, errNotYet
}

// Watcher is one stream of events.
type Watcher struct{}

// Events is closed when the watch is over: stopped, dropped because the reader was too
// slow, or ended with the store.
func (w *Watcher) Events() <-chan *Event { return nil }

// Stop ends the watch. It can be called more than once.
func (w *Watcher) Stop() {}
