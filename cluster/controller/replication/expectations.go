package replication

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expectTimeout is when an event that never came is given up: the next reconcile
// then trusts the cache again.
const expectTimeout = 5 * time.Minute

// Expectations remember, per set, which of our own writes the cache has not shown
// yet. While there are some, the count of pods in the cache is wrong and the set
// must not create or delete any.
type Expectations struct {
	mu  sync.Mutex
	now func() time.Time
	of  map[string]*expected
}

type expected struct {
	creates int
	deletes map[types.UID]bool
	since   time.Time
}

// NewExpectations has none yet; now is the clock.
func NewExpectations(now func() time.Time) *Expectations {
	return &Expectations{now: now, of: map[string]*expected{}}
}

// Expect must be called before the writes it tells of: creates pods are to come, and
// those of deletes to go. Events may be quicker than answers.
func (e *Expectations) Expect(key string, creates int, deletes []types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &expected{creates: creates, deletes: map[types.UID]bool{}, since: e.now()}
	for _, u := range deletes {
		x.deletes[u] = true
	}
	e.of[key] = x
}

// Created is told of each pod that came, and of each create that failed.
func (e *Expectations) Created(key string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.of[key]; x != nil {
		x.creates -= n
	}
}

// Deleted is told of each pod that went or is on its way, and of each delete that failed.
func (e *Expectations) Deleted(key string, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.of[key]; x != nil {
		delete(x.deletes, uid)
	}
}

// Met says whether the cache shows all that was expected.
func (e *Expectations) Met(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.of[key]
	return x == nil || x.creates <= 0 && len(x.deletes) == 0 || e.now().Sub(x.since) > expectTimeout
}

// Forget drops what was expected of a set that is gone.
func (e *Expectations) Forget(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.of, key)
}
