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
	minBackoff = time.Second
	maxBackoff = 10 * time.Second
	// flushAfter is when an unschedulable pod is retried without an event that could help.
	flushAfter = 5 * time.Minute
	// tick is how often backoffs and flushes are checked.
	tick = 100 * time.Millisecond
)

// queued is a pod without a node.
type queued struct {
	*podInfo
	attempts           int
	since              time.Time // when it was added
	started            time.Time // of the last attempt
	ready              time.Time // when the backoff ends
	unschedulableSince time.Time // when it became unschedulable
	cause              cause     // why the last attempt failed; 0 is an error, which any change may resolve
	activated          bool      // activate was called while it was in flight
	in                 queueState
	index              int // in the heap
}

type queueState int

const (
	notQueued       queueState = iota
	active                     // in order of priority
	backingOff                 // until its backoff has passed
	waitingForEvent            // until an event that could help
	inFlight                   // being scheduled
)

// queue holds the pods without a node. Unschedulable pods wait for an event that could help,
// and then for a backoff that doubles with each attempt. It is safe for concurrent use.
type queue struct {
	mu            sync.Mutex
	now           func() time.Time
	wake          chan struct{}
	all           map[types.UID]*queued
	unschedulable map[*queued]bool
	active        podHeap
	backoff       podHeap
	// moved is the union of the events during the attempt of each pod in flight, which would
	// have moved it if it had been unschedulable already.
	moved map[types.UID]cause
}

func newQueue(now func() time.Time) *queue {
	return &queue{
		now: now, wake: make(chan struct{}, 1), all: map[types.UID]*queued{}, unschedulable: map[*queued]bool{}, moved: map[types.UID]cause{},
		active: podHeap{less: byPriority}, backoff: podHeap{less: byReady},
	}
}

func byPriority(a, b *queued) bool {
	pa, pb := podfacts.Priority(a.pod), podfacts.Priority(b.pod)
	return pa > pb || pa == pb && a.since.Before(b.since)
}

func byReady(a, b *queued) bool { return a.ready.Before(b.ready) }

// set adds or updates a pod. retry means that an unschedulable pod may fit after the change.
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
	case waitingForEvent:
		q.put(item, active)
	case active:
		heap.Fix(&q.active, item.index)
	case inFlight:
		q.moved[p.UID] = ^cause(0)
	}
}

// forget removes a pod that has a node or was deleted.
func (q *queue) forget(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if item := q.all[uid]; item != nil {
		q.put(item, notQueued)
		delete(q.all, uid)
		delete(q.moved, uid)
	}
}

// pop waits for the next pod, and returns nil when ctx ends. The pod is in flight until failed
// or forget is called; its podInfo is a private copy.
func (q *queue) pop(ctx context.Context) *podInfo {
	for {
		if i := q.tryPop(); i != nil {
			return i
		}
		var due <-chan time.Time // without pods that wait there is nothing to wake up for
		if q.waits() {
			due = time.After(tick)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		case <-due:
			q.flush()
		}
	}
}

// waits reports whether a pod waits for its backoff, or for an event.
func (q *queue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.backoff.Len() > 0 || len(q.unschedulable) > 0
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
	item.started = q.now()
	q.moved[item.pod.UID] = 0
	copied := *item.podInfo
	return &copied
}

// failed requeues a pod in flight: as unschedulable with its cause, or in backoff after an
// error or if an event during the attempt could help.
func (q *queue) failed(uid types.UID, why cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[uid]
	if item == nil {
		return
	}
	now := q.now()
	item.cause, item.unschedulableSince = why, now
	item.ready = now.Add(min(minBackoff<<min(item.attempts-1, 10), maxBackoff))
	changed := q.moved[uid]
	delete(q.moved, uid)
	switch activated := item.activated; {
	case activated:
		item.activated = false
		q.put(item, active)
	case why == 0 || changed&why != 0:
		q.put(item, backingOff)
	default:
		q.put(item, waitingForEvent)
	}
}

// changed moves the unschedulable pods that failed for one of the causes.
func (q *queue) changed(what cause) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for uid := range q.moved {
		q.moved[uid] |= what
	}
	for item := range q.unschedulable {
		if item.cause&what != 0 {
			q.retry(item)
		}
	}
}

// activate makes a pod active without waiting for its backoff: its nominated node probably
// has room now.
func (q *queue) activate(uid types.UID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[uid]
	switch {
	case item == nil || item.in == active:
	case item.in == inFlight:
		item.activated = true
	default:
		q.put(item, active)
	}
}

// flush moves pods whose backoff has passed, and those unschedulable for flushAfter.
func (q *queue) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	for q.backoff.Len() > 0 && !q.backoff.items[0].ready.After(now) {
		q.put(q.backoff.items[0], active)
	}
	for item := range q.unschedulable {
		if now.Sub(item.unschedulableSince) > flushAfter {
			q.retry(item)
		}
	}
}

func (q *queue) retry(item *queued) {
	if item.ready.After(q.now()) {
		q.put(item, backingOff)
	} else {
		q.put(item, active)
	}
}

// put moves an item to another state.
func (q *queue) put(item *queued, to queueState) {
	switch item.in {
	case active:
		heap.Remove(&q.active, item.index)
	case backingOff:
		heap.Remove(&q.backoff, item.index)
	case waitingForEvent:
		delete(q.unschedulable, item)
	}
	item.in = to
	switch to {
	case waitingForEvent:
		q.unschedulable[item] = true
	case active:
		heap.Push(&q.active, item)
	case backingOff:
		heap.Push(&q.backoff, item)
	default:
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
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
