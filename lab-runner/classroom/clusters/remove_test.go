package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"wheelhouse/cluster/wait"
)

// A cluster whose removal was interrupted is nobody's: its learner gets another, and it is removed later. Its mark stays until then.
func TestInterruptedRemoval(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0, "ann00001")
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil {
		t.Fatal(err)
	}
	first := at.of["ann00001"]
	m.stuck = errors.New("a mount is busy")
	if err := p.Remove(t.Context(), learner("ann00001")); err == nil || stored(t, api)[first] != marked {
		t.Errorf("%v: %v", stored(t, api), err)
	}
	p = newPool(t, api, m, at, 0, "ann00001") // the process was killed
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil || at.of["ann00001"] == first {
		t.Errorf("Ann is in %s again: %v", first, err)
	}
	if err := p.tidied(t.Context()); err != nil || stored(t, api)[first] != marked {
		t.Errorf("the mark is gone before the cluster: %v, %v", stored(t, api), err)
	}
	m.stuck = nil
	if err := p.tidied(t.Context()); err != nil || !slices.Equal(m.names(), []string{at.of["ann00001"]}) || len(stored(t, api)) != 1 {
		t.Errorf("%v are there, stored %v: %v", m.names(), stored(t, api), err)
	}
	// One whose making was interrupted has a mark before there is anything of it.
	m.onUp = func(context.Context, string) error {
		for name, owner := range stored(t, api) {
			if owner == marked && m.count(name) == 1 {
				return nil
			}
		}
		return fmt.Errorf("stored is %v", stored(t, api))
	}
	p.cfg.Spare = 1
	if err := p.spare(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who is removed while their cluster is made has none afterwards; who is not in the class gets none.
func TestRemovedWhileMade(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0, "ann00001")
	began, gate := make(chan struct{}), make(chan struct{})
	m.onUp = func(context.Context, string) error {
		close(began)
		<-gate
		return nil
	}
	made, removed := make(chan error, 2), make(chan error, 1)
	go func() { made <- p.Ensure(t.Context(), learner("ann00001")) }()
	<-began
	go func() { removed <- p.Remove(t.Context(), learner("ann00001")) }()
	wait.For(t, "its mark", func() error {
		data := stored(t, api)
		return wait.Seen(slices.Contains(slices.Collect(maps.Values(data)), marked), data)
	})
	p.cfg.Known = func() []string { return nil }
	close(gate)
	if err := <-made; err != nil {
		t.Logf("its learner saw: %v", err)
	}
	if err := <-removed; err != nil || len(m.names())+len(stored(t, api)) > 0 {
		t.Errorf("%v are there, stored %v: %v", m.names(), stored(t, api), err)
	}
	if err := p.Ensure(t.Context(), learner("ann00001")); !errors.Is(err, errUnknown) || len(m.names()) > 0 {
		t.Errorf("%v are there: %v", m.names(), err)
	}
}

// A removal that does not end keeps neither those who come nor the ready ones waiting.
func TestSlowRemovals(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	for n := range 4 {
		if err := p.Ensure(t.Context(), learner(fmt.Sprintf("ann%05d", n))); err != nil {
			t.Fatal(err)
		}
	}
	gate := make(chan struct{})
	m.onDown = func(string) { <-gate }
	p.cfg.Known, p.cfg.Spare = func() []string { return []string{"bob00001"} }, 1
	if err := errors.Join(p.tidy(t.Context()), p.spare(t.Context()), p.Ensure(t.Context(), learner("bob00001"))); err != nil {
		t.Error(err)
	}
	if err := p.tidy(t.Context()); err != nil { // which begins none of them again
		t.Error(err)
	}
	close(gate)
	p.removals.Wait()
	if m.downs != 4 || len(m.names()) != 1 {
		t.Errorf("%d removals, %v are there", m.downs, m.names())
	}
}

// What another process has removed is not kept here.
func TestRemovedElsewhere(t *testing.T) {
	api, m, at := begin()
	p, other := newPool(t, api, m, at, 0, "ann00001"), newPool(t, api, m, at, 0, "ann00001")
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Remove(t.Context(), learner("ann00001")), p.tidied(t.Context())); err != nil || len(p.benches) > 0 {
		t.Errorf("benches %v: %v", p.benches, err)
	}
}
