package kubelet

import (
	"sync"

	"wheelhouse/cluster/kubelet/cri"
)

// begun are the containers that a worker starts itself and then looks at itself: the
// runtime's news that they have started is none.
type begun struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (b *begun) note(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ids == nil {
		b.ids = map[string]bool{}
	}
	b.ids[id] = true
}

// forget tells whether the container was noted, once.
func (b *begun) forget(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.ids[id]
	delete(b.ids, id)
	return known
}

// heard takes an event of the runtime about the worker's pod.
func (w *worker) heard(e cri.Event) {
	if w.begun.forget(e.ContainerID) && e.Started {
		return
	}
	w.touch()
}
