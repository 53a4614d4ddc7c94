package scheduler

import (
	"container/heap"
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
)

const (
	firstBackoff = time.Second
	lastBackoff  = 10 * time.Second
	// flushAfter is when an unschedulable pod is tried again though nothing that
	// should help has happened.
	flushAfter = 5 * time.Minute
	// tick is how often backoffs and flushes are looked at.
	tick = 100 * time.Millisecond
)

// queued is a pod that waits for a node.
type queued struct {
	*podInfo
	attempts int
	since    time.Time // of the first arrival
	ready    time.Time // when the backoff ends
	parked   time.Time // when it became unschedulable
	cause    cause     // why the last attempt failed; 0 is an error, which any change may mend
	hurry    bool      // retryNow was called while it was in flight
	in       place
	index    int // in the heap
}

type place int

const (
	nowhere  place = iota
	active         // to be tried, in order of priority
	waiting        // backing off
	parked         // unschedulable until something changes
	inFlight       // being tried
)

// queue holds the pods that have no node. Pods that failed are parked; a change of
// the cluster that may help moves them back, after a backoff that doubles with
// each attempt. It is safe for concurrent use.
type queue struct {
	mu     sync.Mutex
	now    func() time.Time
	wake   chan struct{}
	all    map[types.UID]*queued
	parked map[*queued]bool
	active podHeap
	wait   podHeap
	// moved is the union of changes while each pod in flight was being tried:
	// what would have moved it, had it been parked already.
	moved map[types.UID]cause
}

func newQueue(now func() time.Time) *queue {
	return &queue{
		now: now, wake: make(chan struct{}, 1), all: map[types.UID]*queued{}, parked: map[*queued]bool{}, moved: map[types.UID]cause{},
		active: podHeap{less: byPriority}, wait: podHeap{less: byReady},
	}
}

func byPriority(a, b *queued) bool {
	pa, pb := podfacts.Priority(a.pod), podfacts.Priority(b.pod)
	return pa > pb || pa == pb && a.since.Before(b.since)
}

func byReady(a, b *queued) bool { return a.ready.Before(b.ready) }

// set adds a pod, or takes over its new state. retry says that the change may make
// a parked pod fit.
func (q *queue) set(p *v1.Pod, retry bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[p.UID]
	if item == nil {
		item = &queued{podInfo: newPodInfo(p), since: q.now()}
		q.all[p.UID] = item
		q.put(item, active)
		return
	}
	if !retry {
		item.podInfo.pod = p
		return
	}
	item.podInfo = newPodInfo(p)
	switch item.in {
	case parked:
		q.put(item, active)
	case active:
		heap.Fix(&q.active, item.index)
	case inFlight:
		q.moved[p.UID] = ^cause(0)
	}
}

// forget drops a pod that has a node or is gone.
func (q *queue) forget(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if item := q.all[uid]; item != nil {
		q.put(item, nowhere)
		delete(q.all, uid)
		delete(q.moved, uid)
	}
}

// pop waits for the next pod to try, and gives nil when ctx ends. What it returns
// is in flight until failed or forget is called; its podInfo is a private copy.
func (q *queue) pop(ctx context.Context) *podInfo {
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		if i := q.tryPop(); i != nil {
			return i
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-timer.C:
			q.due()
		}
	}
}

func (q *queue) tryPop() *podInfo {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.active.Len() == 0 {
		return nil
	}
	item := q.active.items[0]
	q.put(item, inFlight)
	item.attempts++
	q.moved[item.pod.UID] = 0
	copied := *item.podInfo
	return &copied
}

// failed puts a pod that was in flight back: parked with its cause, or, for an
// error or if the cluster changed meanwhile in a way that may help, backing off.
func (q *queue) failed(uid types.UID, why cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[uid]
	if item == nil {
		return
	}
	now := q.now()
	item.cause, item.parked = why, now
	item.ready = now.Add(min(firstBackoff<<min(item.attempts-1, 10), lastBackoff))
	changed := q.moved[uid]
	delete(q.moved, uid)
	switch hurry := item.hurry; {
	case hurry:
		item.hurry = false
		q.put(item, active)
	case why == 0 || changed&why != 0:
		q.put(item, waiting)
	default:
		q.put(item, parked)
	}
}

// changed tells of a change of the cluster that may help pods which failed for
// one of the causes.
func (q *queue) changed(what cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for uid := range q.moved {
		q.moved[uid] |= what
	}
	for item := range q.parked {
		if item.cause&what != 0 {
			q.retry(item)
		}
	}
}

// retryNow tells that what a pod waits for is likely there: it need not wait for the
// end of its backoff.
func (q *queue) retryNow(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[uid]
	switch {
	case item == nil || item.in == active:
	case item.in == inFlight:
		item.hurry = true
	default:
		q.put(item, active)
	}
}

// due moves pods whose backoff is over, and those parked for long.
func (q *queue) due() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for q.wait.Len() > 0 && !q.wait.items[0].ready.After(now) {
		q.put(q.wait.items[0], active)
	}
	for item := range q.parked {
		if now.Sub(item.parked) > flushAfter {
			q.retry(item)
		}
	}
}

func (q *queue) retry(item *queued) {
	if item.ready.After(q.now()) {
		q.put(item, waiting)
	} else {
		q.put(item, active)
	}
}

// put moves an item to another place.
func (q *queue) put(item *queued, to place) {
	switch item.in {
	case active:
		heap.Remove(&q.active, item.index)
	case waiting:
		heap.Remove(&q.wait, item.index)
	case parked:
		delete(q.parked, item)
	}
	item.in = to
	switch to {
	case parked:
		q.parked[item] = true
	case active:
		heap.Push(&q.active, item)
		select {
		case q.wake <- struct{}{}:
		default:
		}
	case waiting:
		heap.Push(&q.wait, item)
	}
}

type podHeap struct {
	items []*queued
	less  func(a, b *queued) bool
}

func (h *podHeap) Len() int           { return len(h.items) }
func (h *podHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *podHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index, h.items[j].index = i, j
}

func (h *podHeap) Push(x any) {
	item := x.(*queued)
	item.index = len(h.items)
	h.items = append(h.items, item)
}

func (h *podHeap) Pop() any {
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	return last
}
