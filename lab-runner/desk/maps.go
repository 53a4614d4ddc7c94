package desk

import (
	"context"
	"sync"
	"time"

	"wheelhouse/lab-runner/clustermap"
)

// Map is what a page draws of the namespace.
type Map = clustermap.Picture

// redraw is the shortest time between two maps that are reported.
const redraw = 250 * time.Millisecond

// maps collects changes until they are reported.
type maps struct {
	mu      sync.Mutex
	pending []clustermap.Change
	wake    chan struct{} // has one when there are some
}

func newMaps() *maps { return &maps{wake: make(chan struct{}, 1)} }

func (m *maps) add(c clustermap.Change) {
	m.mu.Lock()
	m.pending = append(m.pending, c)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// report reports the map after its changes, at most four times a second, until ctx is done.
func (m *maps) report(ctx context.Context, to func(*Map)) {
	var now clustermap.Map
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		m.mu.Lock()
		changes := m.pending
		m.pending = nil
		m.mu.Unlock()
		now = now.Apply(changes...)
		picture := now.Picture()
		to(&picture)
		select {
		case <-ctx.Done():
			return
		case <-time.After(redraw):
		}
	}
}
