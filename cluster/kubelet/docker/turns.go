package docker

import (
	"container/heap"
	"context"
	"runtime"
	"sync"
)

// The order in which starts that wait get their turn: what is furthest goes first, so
// that of many pods the first ones are soon up rather than all of them at the end.
const (
	turnSandbox = iota // create a sandbox
	turnCreate         // create a container in it
	turnStart          // start either
)

// turns bounds the starts at one time: each is work for the machine's
// processors in the daemon and in what it runs, and more of them at once take longer
// together than one after the other.
type turns struct {
	mu      sync.Mutex
	free    int
	count   int // of those that wait, for their order
	waiting queue
}

func newTurns() *turns { return &turns{free: max(4, 2*runtime.NumCPU())} }

// take waits for a turn; done releases it.
func (t *turns) take(ctx context.Context, stage int) (done func(), err error) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return t.give, nil
	}
	t.count++
	w := &waiter{stage: stage, number: t.count, ready: make(chan struct{})}
	heap.Push(&t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.ready:
		return t.give, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.index < 0 { // its turn has come in the same moment
		t.pass()
	} else {
		heap.Remove(&t.waiting, w.index)
	}
	return nil, ctx.Err()
}

func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// pass passes the turn to the first that waits; mu is held.
func (t *turns) pass() {
	if t.waiting.Len() == 0 {
		t.free++
		return
	}
	close(heap.Pop(&t.waiting).(*waiter).ready)
}

type waiter struct {
	stage, number int
	index         int // in the queue, -1 once it has its turn
	ready         chan struct{}
}

// queue is a heap: the furthest stage first, and the longest wait within it.
type queue []*waiter

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].stage != q[j].stage {
		return q[i].stage > q[j].stage
	}
	return q[i].number < q[j].number
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	w := x.(*waiter)
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	w.index = -1
	return w
}
