package images

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"wheelhouse/cluster/kubelet/cri"
)

// engine is a runtime and a node: images that pods name, and images that others use.
type engine struct {
	used, busy map[string]bool
	removed    []string
}

func (e *engine) ImagesInUse() (map[string]bool, bool)     { return e.used, true }
func (e *engine) ImagesChanged()                           {}
func (e *engine) ImageDir(context.Context) (string, error) { return "/", nil }
func (e *engine) RemoveImage(_ context.Context, ref string) error {
	if e.busy[ref] {
		return cri.ErrInUse
	}
	e.removed = append(e.removed, ref)
	return nil
}

// Only images that the kubelet has pulled are removed, those that are unused the longest
// first; the record outlives the kubelet.
func TestRemoveUnused(t *testing.T) {
	e := &engine{used: map[string]bool{"used": true}, busy: map[string]bool{"busy": true}}
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	c := NewCollector(GC{}, e, e, dir, log)
	for _, ref := range []string{"first", "used", "second", "busy"} {
		c.Pulled(ref)
	}
	c = NewCollector(GC{}, e, e, dir, log)
	c.Load()
	for range 2 {
		if err := c.RemoveUnused(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"first", "second"}; !slices.Equal(e.removed, want) {
		t.Errorf("removed %q, want %q", e.removed, want)
	}
	if fs, err := c.DiskUsage(t.Context()); err != nil || fs.Capacity == 0 {
		t.Errorf("%+v, %v", fs, err)
	}
}
