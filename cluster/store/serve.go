package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api"
)

// Serve starts the storage of one more kind, and returns when its collection holds what
// etcd has. The other collections continue meanwhile. The store must run.
func (s *Store) Serve(ctx context.Context, k *api.Kind) (*Collection, error) {
	if c := s.Of(k); c != nil {
		return c, nil
	}
	c, err := newCollection(&s.source, k)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", k.Kind, err)
	}
	if err := s.WaitReady(ctx); err != nil {
		return nil, err
	}
	for {
		served, err := s.join(ctx, c)
		if err == nil && served {
			return c, nil
		}
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return nil, fmt.Errorf("store: serving %s: %w", k.Kind, err)
		}
	}
}

// join adds a collection and reads its state at the revision at which it was added; what
// follow receives for it from there on is kept until the state is there. served is false
// if the watch on etcd was lost meanwhile, and with it what was kept.
func (s *Store) join(ctx context.Context, c *Collection) (served bool, err error) {
	var at int64
	var loads int
	added := s.within(ctx, func() {
		c.pending = &[]batch{}
		at, loads = s.progress.revision(), s.loads
		err = s.add(c)
	})
	if err = errors.Join(added, err); err != nil {
		return false, err
	}
	defer func() {
		if !served {
			err = errors.Join(err, s.within(context.WithoutCancel(ctx), func() { s.remove(c) }))
		}
	}()
	kvs, err := s.readKeys(ctx, c.prefix, at)
	if err != nil {
		return false, err
	}
	err = s.within(ctx, func() {
		if served = loads == s.loads; !served {
			return
		}
		c.replace(at, kvs, true)
		missed := *c.pending
		c.pending = nil
		for _, b := range missed {
			c.apply(b.rev, b.changes)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.byKind[c.format.kind] = c
	})
	return served && err == nil, err
}

// Retire ends what Serve or New began: the watches on the kind end with 410. The objects
// stay in etcd. What still has the collection reads its last state, and can write.
func (s *Store) Retire(k *api.Kind) {
	c := s.Of(k)
	if c == nil {
		return
	}
	s.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = apierrors.NewResourceExpired(fmt.Sprintf("%s are no longer served", c.resource))
	c.closeAll()
}

// within runs f between two answers of the watch on etcd, when no collection changes.
func (s *Store) within(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.tasks <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return errEnded
	}
	<-done
	return nil
}

var errEnded = errors.New("the store has ended")
