package kubelet

import (
	"sync"

	"wheelhouse/cluster/kubelet/cri"
)

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

// observeEvent takes an event of the runtime about the worker's pod.
func (w *worker) observeEvent(e cri.Event) {
	if w.selfStarted.remove(e.ContainerID) && e.Started {
		return
	}
	w.markStale()
}
