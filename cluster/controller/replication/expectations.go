package replication

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// expectTimeout is when an event that never came is given up: the next reconcile
// then trusts the cache again.
const expectTimeout = 5 * time.Minute

// expectations remember, per set, which of our own writes the cache has not shown
// yet. While there are some, the count of pods in the cache is wrong and the set
// must not create or delete any.
type expectations struct {
	mu  sync.Mutex
	now func() time.Time
	of  map[string]*expected
}

type expected struct {
	creates int
	deletes map[types.UID]bool
	since   time.Time
}

func newExpectations(now func() time.Time) *expectations {
	return &expectations{now: now, of: map[string]*expected{}}
}

// creates must be called before the pods are created: events may be quicker than answers.
func (e *expectations) creates(key string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.of[key] = &expected{creates: n, since: e.now()}
}

func (e *expectations) deletes(key string, uids []types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &expected{deletes: map[types.UID]bool{}, since: e.now()}
	for _, u := range uids {
		x.deletes[u] = true
	}
	e.of[key] = x
}

// created is told of each pod that came, and of each create that failed.
func (e *expectations) created(key string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.of[key]; x != nil {
		x.creates -= n
	}
}

// deleted is told of each pod that went or is on its way, and of each delete that failed.
func (e *expectations) deleted(key string, uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.of[key]; x != nil {
		delete(x.deletes, uid)
	}
}

func (e *expectations) met(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.of[key]
	return x == nil || x.creates <= 0 && len(x.deletes) == 0 || e.now().Sub(x.since) > expectTimeout
}

func (e *expectations) forget(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.of, key)
}
