package kubelet

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/podspec"
)

// input is what reaches a worker from outside its goroutine. Its methods may be called
// concurrently.
type input struct {
	wake   chan struct{}
	urgent chan struct{} // ends the backoff of a failed step, too

	mu      sync.Mutex
	pod     *v1.Pod
	removed bool               // from the API server
	stale   bool               // the containers must be listed again
	cancel  context.CancelFunc // of the current step
	evicted *evicted           // nil unless the node evicts the pod
	retired bool               // it has terminated, and its volumes are gone
}

func newInput(pod *v1.Pod) input {
	return input{pod: pod, stale: true, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

// take returns the next step, which cancel cancels.
func (i *input) take(cancel context.CancelFunc) *podStep {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cancel = cancel
	next := &podStep{pod: i.pod, removed: i.removed, stale: i.stale}
	i.stale = false
	return next
}

// cancelledBy has what follows the step cancelled as the step was.
func (i *input) cancelledBy(cancel context.CancelFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cancel = cancel
}

// replace replaces the pod by a newer one, and reports whether that is urgent. The current
// step is cancelled when the pod is to terminate, or to terminate sooner.
func (i *input) replace(pod *v1.Pod) (urgent bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.pod
	i.pod = pod
	terminates := pod.DeletionTimestamp != nil && (old.DeletionTimestamp == nil || podspec.GracePeriod(pod) < podspec.GracePeriod(old))
	if terminates && i.cancel != nil {
		i.cancel()
	}
	return terminates || pod.Generation != old.Generation
}

// remove records that the pod is gone from the API server.
func (i *input) remove() {
	i.mu.Lock()
	first := !i.removed
	i.removed = true
	if first && i.cancel != nil { // even while it terminates: its grace period is over
		i.cancel()
	}
	i.mu.Unlock()
	i.notifyNow()
}

// latest is the pod as the API server has it.
func (i *input) latest() *v1.Pod {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.pod
}

// markStale makes the next step list the containers of the pod.
func (i *input) markStale() {
	i.mu.Lock()
	i.stale = true
	i.mu.Unlock()
	i.notify()
}

func (i *input) notify() { signal(i.wake) }

// notifyNow wakes the worker even from the backoff of a failed step, as its cause may be
// gone.
func (i *input) notifyNow() { signal(i.urgent) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits for a reason for the next step, and reports whether that is the time alone.
func (i *input) sleep(ctx context.Context, again time.Duration, wake <-chan struct{}) bool {
	var timer <-chan time.Time
	if again > 0 {
		t := time.NewTimer(again)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-i.urgent:
	case <-wake:
	case <-timer:
		return true
	}
	return false
}

// selfStarted are the containers that a worker has started and observes itself: the event of
// their start is skipped.
type selfStarted struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (b *selfStarted) add(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids == nil {
		b.ids = map[string]bool{}
	}
	b.ids[id] = true
}

// remove reports whether the container was added, and removes it.
func (b *selfStarted) remove(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.ids[id]
	delete(b.ids, id)
	return known
}

// evicted is why and how the node evicts a pod.
type evicted struct {
	message string
	grace   int64 // seconds
}

// podStep is one step of a worker: what its stages hand over to each other.
type podStep struct {
	pod     *v1.Pod // with its newest status and, from allocate on, its allocated resources
	removed bool    // from the API server
	stale   bool    // the containers must be listed

	stage string        // that runs, for the log
	again time.Duration // when the next step is due at the latest, 0 for at no time
	done  bool          // no further stage runs
	gone  bool          // nothing is left of the pod
}
