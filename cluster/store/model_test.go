package store

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// mirror is a client that lists, watches, and goes on where it was whenever its watch
// ends, as informers do.
type mirror struct {
	c     *Collection
	o     WatchOptions
	state map[string]int64 // name -> generation
	rev   int64
}

func (m *mirror) list(ctx context.Context) error {
	keep := m.o.Keep
	if m.o.Bucket != "" {
		keep = func(o api.Object) bool { return podNode(o) == m.o.Bucket }
	}
	p, err := m.c.List(ctx, "", ListOptions{ResourceVersion: "0", Keep: keep})
	if err != nil {
		return err
	}
	m.state, m.rev = map[string]int64{}, p.Revision
	for _, i := range p.Items {
		m.state[i.Object().GetName()] = i.Object().GetGeneration()
	}
	return nil
}

// run follows until the revision `until` is reached, in short watches.
func (m *mirror) run(ctx context.Context, until func() int64) error {
	if err := m.list(ctx); err != nil {
		return err
	}
	for m.rev < until() {
		m.o.ResourceVersion = strconv.FormatInt(m.rev, 10)
		w, err := m.c.Watch(ctx, "", m.o)
		if apierrors.IsResourceExpired(err) {
			err = m.list(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		for n := rand.IntN(200); n >= 0; n-- {
			select {
			case e := <-w.Events():
				if err := m.see(e); err != nil {
					return err
				}
			case <-time.After(20 * time.Millisecond):
				m.c.tick() // a bookmark reports how far a quiet stream is
			}
		}
		w.Stop()
	}
	return nil
}

func (m *mirror) see(e *Event) error {
	if e == nil {
		return fmt.Errorf("the watch ended at %d", m.rev)
	}
	if e.Revision < m.rev || e.Revision == m.rev && e.Type != watch.Bookmark {
		return fmt.Errorf("%s at %d after %d", e.Type, e.Revision, m.rev)
	}
	m.rev = e.Revision
	name := e.Item.Object().GetName()
	_, known := m.state[name]
	switch e.Type {
	case watch.Bookmark:
		return nil
	case watch.Deleted:
		delete(m.state, name)
	default:
		m.state[name] = e.Item.Object().GetGeneration()
	}
	if known == (e.Type == watch.Added) {
		return fmt.Errorf("%s of %s at %d, known before: %v", e.Type, name, e.Revision, known)
	}
	return nil
}

// However writers interleave, each watcher's picture is at the end what a list shows.
func TestWatchersAgreeWithLists(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	c, ctx := s.Of(pods), t.Context()
	var writing, watching sync.WaitGroup
	for range 6 {
		writing.Go(func() {
			for range 500 {
				name := fmt.Sprint("p-", rand.IntN(40))
				switch rand.IntN(4) {
				case 0:
					_, _ = c.Create(ctx, pod("default", name))
				case 1:
					_, _ = c.Delete(ctx, "default", name, nil)
				default:
					_, _ = c.Update(ctx, "default", name, edit(func(p *corev1.Pod) {
						p.Generation++
						p.Labels["tier"] = []string{"a", "b"}[rand.IntN(2)]
						p.Spec.NodeName = []string{"", "n1", "n2"}[rand.IntN(3)]
					}))
				}
			}
		})
	}
	var end int64
	done := make(chan struct{})
	go func() {
		writing.Wait()
		end = s.Revision()
		close(done)
	}()
	until := func() int64 {
		select {
		case <-done:
			return end
		default:
			return 1 << 60
		}
	}
	var mirrors []*mirror
	for range 3 {
		for _, o := range []WatchOptions{{}, {Keep: tier("a")}, {Bucket: "n1"}} {
			o.Bookmarks = true
			m := &mirror{c: c, o: o}
			mirrors = append(mirrors, m)
			watching.Go(func() {
				if err := m.run(ctx, until); err != nil {
					t.Error(err)
				}
			})
		}
	}
	watching.Wait()
	for _, m := range mirrors {
		got := m.state
		if err := m.list(ctx); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, m.state) {
			t.Errorf("bucket %q, selector %v:\nwatched %v\nlisted  %v", m.o.Bucket, m.o.Keep != nil, got, m.state)
		}
	}
}
