package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

const (
	// rewind is how many revisions before the newest the cache begins at a start, so
	// that watches which were open when the server went down can go on where they were.
	rewind = 1000
	// bookmarkEvery is how often watchers get a bookmark though nothing happens.
	bookmarkEvery = time.Minute
)

// follow keeps the caches equal to etcd. One watch on all keys feeds all kinds: it gets
// every revision, so that the revision of the caches is always known. Keys of no kind that
// is served are passed over: Serve reads them when there is one.
func (s *Store) follow(ctx context.Context) error {
	defer close(s.ended)
	defer s.endWatches()
	for first := true; ctx.Err() == nil; {
		target, err := s.load(ctx, first)
		if err != nil {
			s.retry(ctx, "reading the objects from etcd", err)
			continue
		}
		first = false
		for {
			err = s.stream(ctx, target)
			if ctx.Err() != nil || errors.Is(err, rpctypes.ErrCompacted) {
				break
			}
			s.retry(ctx, "the watch on etcd broke off", err)
		}
	}
	return nil
}

// retry logs and waits a little.
func (s *Store) retry(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.Log.Warn(what+", trying again", "err", err)
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

// load reads everything into the caches. It returns the newest revision there was: at
// the first start the caches begin a little before it.
func (s *Store) load(ctx context.Context, first bool) (newest int64, err error) {
	newest, err = s.askRevision(ctx)
	if err != nil {
		return 0, err
	}
	try := []int64{newest}
	if first {
		try = []int64{max(1, newest-rewind), s.lastRound(ctx, newest), newest}
	}
	var at int64
	var kvs map[*Collection][]*mvccpb.KeyValue
	for _, at = range try {
		if kvs, err = s.readAll(ctx, at); !errors.Is(err, rpctypes.ErrCompacted) {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	s.loads++
	for _, c := range s.collections() {
		if c.pending == nil { // else Serve begins again
			c.replace(at, kvs[c], first)
		}
	}
	s.progress.advance(at)
	return newest, nil
}

// lastRound is the revision at the last compaction round, which etcd still has,
// or the newest if there was none.
func (s *Store) lastRound(ctx context.Context, newest int64) int64 {
	resp, err := s.Client.Get(ctx, compactKey)
	if err != nil || len(resp.Kvs) == 0 {
		return newest
	}
	rev, err := strconv.ParseInt(string(resp.Kvs[0].Value), 10, 64)
	if err != nil || rev < 1 || rev > newest {
		return newest
	}
	return rev
}

func (s *Store) readAll(ctx context.Context, rev int64) (map[*Collection][]*mvccpb.KeyValue, error) {
	kvs, err := s.readKeys(ctx, registry, rev)
	if err != nil {
		return nil, err
	}
	all := map[*Collection][]*mvccpb.KeyValue{}
	for _, kv := range kvs {
		if c := s.collectionOf(string(kv.Key)); c != nil {
			all[c] = append(all[c], kv)
		}
	}
	return all, nil
}

// stream applies what happens from now on, until the watch breaks. target is the
// revision at which the store is ready.
func (s *Store) stream(ctx context.Context, target int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := s.Client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(s.progress.revision()+1))
	s.readyAt(target)
	tick := time.NewTicker(bookmarkEvery)
	defer tick.Stop()
	for {
		select {
		case resp, ok := <-changes:
			if !ok {
				return errors.New("it was closed")
			}
			if err := resp.Err(); err != nil {
				return err
			}
			s.applyAll(resp.Events)
			s.readyAt(target)
		case task := <-s.tasks:
			task()
		case <-s.transformed:
			s.mend(ctx)
		case <-tick.C:
			s.mend(ctx)
			for _, c := range s.collections() {
				c.tick()
			}
		}
	}
}

func (s *Store) readyAt(target int64) {
	select {
	case <-s.ready:
	default:
		if s.progress.revision() >= target {
			close(s.ready)
		}
	}
}

// applyAll takes the events of one answer, which are ordered by revision and hold each
// of its revisions as a whole.
func (s *Store) applyAll(events []*clientv3.Event) {
	for len(events) > 0 {
		rev := events[0].Kv.ModRevision
		n := 1
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		if rev > s.progress.revision() { // a watch that was opened again may repeat
			s.rounds.wrote(events[:n], s.HistoryBytes)
			s.applyOne(rev, events[:n])
			s.progress.advance(rev)
		}
		events = events[n:]
	}
}

// applyOne takes all events of one revision; nearly always it is a single one.
func (s *Store) applyOne(rev int64, events []*clientv3.Event) {
	if len(events) == 1 {
		key := string(events[0].Kv.Key)
		if c := s.collectionOf(key); c != nil {
			c.apply(rev, events)
		} else if key == compactKey {
			s.rounds.note(events[0].Kv.Value)
		}
		return
	}
	parts := map[*Collection][]*mvccpb.Event{}
	for _, e := range events {
		if c := s.collectionOf(string(e.Kv.Key)); c != nil {
			parts[c] = append(parts[c], e)
		}
	}
	for c, part := range parts {
		c.apply(rev, part)
	}
}

// Run fills the caches and keeps them up to date until ctx ends. It returns an error
// only when ctx has ended before; trouble with etcd is logged and tried again.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.follow(ctx) })
	g.Go(func() error { return s.compact(ctx) })
	return g.Wait()
}
