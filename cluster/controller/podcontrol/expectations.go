package podcontrol

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expectationsTimeout is after how long an expectation expires whose event never came:
// the next reconcile then relies on the cache again.
const expectationsTimeout = 5 * time.Minute

// Expectations record, per owner, the controller's own writes that the cache does not show
// yet. Until then the count of pods in the cache is wrong, and the controller must not
// create or delete any.
type Expectations struct {
	mu    sync.Mutex
	now   func() time.Time
	byKey map[string]*expectation
}

type expectation struct {
	creates int
	deletes map[types.UID]bool
	since   time.Time
}

// NewExpectations returns empty expectations; now is the clock.
func NewExpectations(now func() time.Time) *Expectations {
	return &Expectations{now: now, byKey: map[string]*expectation{}}
}

// Expect must be called before the writes: an event may arrive before the response.
func (e *Expectations) Expect(key string, creates int, deletes []types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &expectation{creates: creates, deletes: map[types.UID]bool{}, since: e.now()}
	for _, u := range deletes {
		x.deletes[u] = true
	}
	e.byKey[key] = x
}

// Created is called for each pod added to the cache, and each create that failed.
func (e *Expectations) Created(key string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.byKey[key]; x != nil {
		x.creates -= n
	}
}

// Deleted is called for each pod that is deleted or terminating, and each delete that failed.
func (e *Expectations) Deleted(key string, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.byKey[key]; x != nil {
		delete(x.deletes, uid)
	}
}

// Met reports whether the cache shows all that was expected.
func (e *Expectations) Met(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.byKey[key]
	return x == nil || x.creates <= 0 && len(x.deletes) == 0 || e.now().Sub(x.since) > expectationsTimeout
}

// Forget removes the expectations of an owner that is deleted.
func (e *Expectations) Forget(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byKey, key)
}
