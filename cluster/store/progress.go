package store

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// progress is a revision that only grows, and that can be waited for.
type progress struct {
	rev     atomic.Int64
	mu      sync.Mutex
	waiting []*waiter
}

type waiter struct {
	rev  int64
	done chan struct{}
}

func (p *progress) revision() int64 { return p.rev.Load() }

func (p *progress) advance(rev int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rev <= p.rev.Load() {
		return
	}
	p.rev.Store(rev)
	still := p.waiting[:0]
	for _, w := range p.waiting {
		if w.rev <= rev {
			close(w.done)
		} else {
			still = append(still, w)
		}
	}
	clear(p.waiting[len(still):])
	p.waiting = still
}

// wait reports whether rev was reached before the limit and before ctx ended.
func (p *progress) wait(ctx context.Context, rev int64, limit time.Duration) bool {
	if p.rev.Load() >= rev {
		return true
	}
	p.mu.Lock()
	if p.rev.Load() >= rev {
		p.mu.Unlock()
		return true
	}
	w := &waiter{rev: rev, done: make(chan struct{})}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.waiting {
		if other == w {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return false
		}
	}
	return true // reached just now
}

// newest answers which revision etcd has now. Callers that come while a question is on
// its way share the next one, since the answer to the first may be older than they are.
type newest struct {
	ask     func(context.Context) (int64, error)
	mu      sync.Mutex
	running bool
	next    *question
}

type question struct {
	done chan struct{}
	rev  int64
	err  error
}

func (n *newest) revision(ctx context.Context) (int64, error) {
	n.mu.Lock()
	if n.next == nil {
		n.next = &question{done: make(chan struct{})}
	}
	q := n.next
	if !n.running {
		n.running = true
		go n.run() //nolint:contextcheck // one answer for all who ask at the time
	}
	n.mu.Unlock()
	select {
	case <-q.done:
		return q.rev, q.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run asks etcd until no reader waits for an answer.
func (n *newest) run() {
	for {
		n.mu.Lock()
		q := n.next
		n.next = nil
		if q == nil {
			n.running = false
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		q.rev, q.err = n.ask(ctx)
		cancel()
		close(q.done)
	}
}

// rounds is the progress of compaction as the watch reports it, to all servers, whichever
// of them compacts.
type rounds struct {
	due    chan struct{} // so much was written that a round cannot wait
	bytes  int64         // written since the last round; only follow uses it
	marked int64         // up to where the next round compacts; only follow uses it
	kept   atomic.Int64  // etcd has no revision before this one, or will soon have none

	// since and before are what was written since the last round, and between the one before and that: what
	// the next round removes, or the one after it.
	since, before atomic.Int64
}

// wrote counts what a revision has added to etcd's history, of which there may be limit
// until the next round.
func (r *rounds) wrote(events []*mvccpb.Event, limit int64) {
	for _, e := range events {
		n := int64(len(e.Kv.Key) + len(e.Kv.Value))
		r.bytes += n
		if e.Type == mvccpb.Event_DELETE {
			n = roundBytes // how much it releases is not known
		}
		r.since.Add(n)
	}
	if r.bytes < limit {
		return
	}
	r.bytes = 0
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// worthwhile reports whether a round removes so much, or the next one will, that it is worth its own writes: an
// idle cluster has only leases that are renewed.
func (r *rounds) worthwhile() bool { return r.since.Load()+r.before.Load() >= roundBytes }

// note records the value of compactKey that a round has written.
func (r *rounds) note(value []byte) {
	rev, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || rev <= r.marked {
		return
	}
	r.kept.Store(r.marked)
	r.marked, r.bytes = rev, 0
	r.before.Store(r.since.Swap(0))
}
