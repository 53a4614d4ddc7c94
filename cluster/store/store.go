package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"wheelhouse/cluster/api"
)

// Config is what a Store needs.
type Config struct {
	Client *clientv3.Client
	// Kinds are the kinds to serve from the start on; those that are Virtual are
	// passed over. Serve and Retire change them later.
	Kinds []*api.Kind
	// OnlyWriter is set if no other process writes to this etcd (it is embedded). Then
	// the newest state is known without asking etcd. When in doubt leave it false: it
	// is slower by one request to etcd, shared by all who read at the time.
	OnlyWriter bool
	// Buckets divide the watchers of a kind by a value of its objects (the pods'
	// spec.nodeName), see WatchOptions.Bucket.
	Buckets map[*api.Kind]func(api.Object) string
	// Transformers encrypt the values of some resources; nil: none. SetTransformers
	// replaces them.
	Transformers Transformers
	Log          *slog.Logger
}

// Store is all collections over one etcd. It has more than 30 methods: opening and closing, serving kinds, the one
// watch of etcd and its progress, which share the state of that watch.
type Store struct {
	Config
	tasks chan func() // for follow, between two answers of the watch
	loads int         // how often follow has read everything, for follow alone

	// mu guards what is below, and Transformers. byKind has the collections that have been
	// read, byPrefix those too that Serve is reading.
	mu       sync.RWMutex
	byKind   map[*api.Kind]*Collection
	byPrefix map[string]*Collection // "/registry/pods/"

	ready    chan struct{} // closed when the caches hold what etcd held at the start
	ended    chan struct{} // closed when Run has ended
	progress progress      // the revision up to which the caches are complete
	written  atomic.Int64  // the newest revision that a write of ours made
	newest   newest
	leases   leases

	transformed chan struct{} // there are other transformers
	rounds      rounds
}

// New returns a store; Run starts it.
func New(cfg Config) (*Store, error) {
	if cfg.Client == nil || cfg.Log == nil {
		return nil, fmt.Errorf("store: a client and a log are needed")
	}
	s := &Store{
		Config: cfg, byKind: map[*api.Kind]*Collection{}, byPrefix: map[string]*Collection{},
		ready: make(chan struct{}), ended: make(chan struct{}), transformed: make(chan struct{}, 1), tasks: make(chan func()),
	}
	s.newest.ask = s.askRevision
	s.leases.client = cfg.Client
	for _, k := range cfg.Kinds {
		if k.Virtual {
			continue
		}
		c, err := newCollection(s, k)
		if err == nil {
			err = s.add(c)
		}
		if err != nil {
			return nil, fmt.Errorf("store: %s: %w", k.Kind, err)
		}
		s.byKind[k] = c
	}
	return s, nil
}

// Of is the collection of a kind (for one of its versions, of the kind), nil for a
// kind that is not stored.
func (s *Store) Of(k *api.Kind) *Collection {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byKind[k.Storage()]
}

// Run fills the caches and keeps them up to date until ctx ends. It returns an error
// only when ctx has ended before; trouble with etcd is logged and tried again.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.follow(ctx) })
	g.Go(func() error { return s.compact(ctx) })
	return g.Wait()
}

// WaitReady returns when the caches hold what etcd held at the start.
func (s *Store) WaitReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the store to read etcd: %w", ctx.Err())
	}
}

// Revision is the revision up to which the caches are complete.
func (s *Store) Revision() int64 { return s.progress.revision() }

// latest returns when the caches hold every write that was acknowledged before the
// call, by this process or, unless it is the only writer, by any.
func (s *Store) latest(ctx context.Context) error {
	if err := s.WaitReady(ctx); err != nil {
		return timeout(err)
	}
	rev := s.written.Load()
	if !s.OnlyWriter {
		asked, err := s.newest.revision(ctx)
		if err != nil {
			return fromEtcd(err, "reading the newest revision")
		}
		rev = max(rev, asked)
	}
	return s.atLeast(ctx, rev)
}

// revisionTimeout is how long a reader waits for a revision that the caches do not have yet.
const revisionTimeout = 3 * time.Second

// atLeast returns when the caches hold revision rev.
func (s *Store) atLeast(ctx context.Context, rev int64) error {
	if err := s.WaitReady(ctx); err != nil {
		return timeout(err)
	}
	if !s.progress.wait(ctx, rev, revisionTimeout) {
		return tooLarge(rev, s.progress.revision())
	}
	return nil
}

// reach returns when the caches hold what a request of that resourceVersion must see,
// and the version as a number.
func (s *Store) reach(ctx context.Context, version string) (int64, error) {
	rev, err := parseVersion(version)
	if err != nil {
		return 0, err
	}
	if version == "" {
		return 0, s.latest(ctx)
	}
	return rev, s.atLeast(ctx, rev)
}

func (s *Store) noteWritten(rev int64) {
	for {
		old := s.written.Load()
		if old >= rev || s.written.CompareAndSwap(old, rev) {
			return
		}
	}
}

// askRevision is a linearizable read that moves no data: its header has the revision
// of the newest write that any client got an answer to.
func (s *Store) askRevision(ctx context.Context) (int64, error) {
	resp, err := s.Client.Get(ctx, registry, clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}
