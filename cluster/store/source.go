package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/store/space"
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
	// Room returns an error if a write is not accepted for want of space. nil: every write is accepted.
	Room func(space.Write) error
	// Essential reports whether an object is needed for others to be deleted, so that it is written while there is
	// little space, if it is small; nil: none is.
	Essential func(*api.Kind, api.Object) bool
	// HistoryBytes is how many bytes are written before the history is made shorter, however
	// new it is; 0: 256 MiB. etcd holds at most twice as many.
	HistoryBytes int64
	Log          *slog.Logger
}

// source is etcd as the store reads and writes it, and how far the caches have come.
type source struct {
	Config
	ready    chan struct{} // closed when the caches hold what etcd held at the start
	progress progress      // the revision up to which the caches are complete
	written  atomic.Int64  // the newest revision that a write of ours made
	newest   newest
	leases   leases
	rounds   rounds
}

func (s *source) open(cfg Config) {
	if cfg.Room == nil {
		cfg.Room = func(space.Write) error { return nil }
	}
	if cfg.Essential == nil {
		cfg.Essential = func(*api.Kind, api.Object) bool { return false }
	}
	if cfg.HistoryBytes == 0 {
		cfg.HistoryBytes = 256 << 20
	}
	s.rounds.due = make(chan struct{}, 1)
	s.Config, s.ready = cfg, make(chan struct{})
	s.newest.ask = s.askRevision
	s.leases.client = cfg.Client
}

// WaitReady returns when the caches hold what etcd held at the start.
func (s *source) WaitReady(ctx context.Context) error {
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
func (s *source) Revision() int64 { return s.progress.revision() }

// latest returns when the caches hold every write that was acknowledged before the
// call, by this process or, unless it is the only writer, by any.
func (s *source) latest(ctx context.Context) error {
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
func (s *source) atLeast(ctx context.Context, rev int64) error {
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
func (s *source) reach(ctx context.Context, version string) (int64, error) {
	rev, err := parseVersion(version)
	if err != nil {
		return 0, err
	}
	if version == "" {
		return 0, s.latest(ctx)
	}
	return rev, s.atLeast(ctx, rev)
}

func (s *source) noteWritten(rev int64) {
	for {
		old := s.written.Load()
		if old >= rev || s.written.CompareAndSwap(old, rev) {
			return
		}
	}
}

// askRevision is a linearizable read that moves no data: its header has the revision
// of the newest write that any client got an answer to.
func (s *source) askRevision(ctx context.Context) (int64, error) {
	resp, err := s.Client.Get(ctx, registry, clientv3.WithKeysOnly(), clientv3.WithLimit(1))
	if err != nil {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// pageSize is how many keys are read from etcd at once.
const pageSize = 1000

// readKeys reads what etcd has below a prefix at a revision.
func (s *source) readKeys(ctx context.Context, prefix string, rev int64) (all []*mvccpb.KeyValue, err error) {
	end := clientv3.GetPrefixRangeEnd(prefix)
	for start := prefix; ; {
		resp, err := s.Client.Get(ctx, start, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(rev))
		if err != nil {
			return nil, fmt.Errorf("from %s at revision %d: %w", start, rev, err)
		}
		all = append(all, resp.Kvs...)
		if !resp.More {
			return all, nil
		}
		start = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

const (
	// ttl is how long objects of a kind with a TTL are kept, as upstream's --event-ttl.
	ttl = time.Hour
	// leaseShared is how long new objects get the same lease: thousands of leases would
	// cost etcd more than the objects.
	leaseShared = time.Minute
)

// leases grants the lease with which objects of a kind with a TTL end.
type leases struct {
	client *clientv3.Client
	mu     sync.Mutex
	id     clientv3.LeaseID
	until  time.Time
}

func (l *leases) get(ctx context.Context) (clientv3.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.until) {
		return l.id, nil
	}
	granted, err := l.client.Grant(ctx, int64((ttl+leaseShared)/time.Second))
	if err != nil {
		return 0, err
	}
	l.id, l.until = granted.ID, time.Now().Add(leaseShared)
	return l.id, nil
}
