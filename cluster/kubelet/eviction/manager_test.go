package eviction

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// crowd is a node with an eviction threshold met, and its pods.
type crowd struct {
	pods    []Pod
	evicted []types.UID
}

func (c *crowd) Observe(context.Context) map[Signal]Observation {
	return map[Signal]Observation{SignalMemory: {Available: 1 << 20, Capacity: 1 << 30}}
}
func (c *crowd) Reclaim(context.Context)      {}
func (c *crowd) Event(string, string, string) {}
func (c *crowd) Evictable() ([]Pod, bool)     { return slices.Clone(c.pods), true }

type crowdWorker struct {
	c      *crowd
	i      int
	memory int64
}

func (w crowdWorker) Usage() (memory, processes int64, containers map[string]int64) {
	return w.memory, 1, nil
}
func (w crowdWorker) DiskUsage(time.Time) DiskUsage { return DiskUsage{} }
func (w crowdWorker) Evict(string, int64) {
	w.c.pods[w.i].Removed = true
	w.c.evicted = append(w.c.evicted, w.c.pods[w.i].UID)
}

// Another pod is evicted only when what the one before held is free again: its volumes in
// memory go after its containers.
func TestOneVictimAtATime(t *testing.T) {
	config, err := Parse("memory.available<100Mi", "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{}
	for i, name := range []types.UID{"small", "large", "middle"} {
		memory := map[types.UID]int64{"small": 1 << 20, "middle": 2 << 20, "large": 3 << 20}[name]
		c.pods = append(c.pods, Pod{Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: name, Name: string(name)}}, Worker: crowdWorker{c, i, memory}})
	}
	m := NewManager(config, c, c, slog.New(slog.DiscardHandler))
	start, last := time.Unix(1000, 0), victim{}
	look := func(after time.Duration, want ...types.UID) {
		t.Helper()
		last = m.look(t.Context(), last, start.Add(after))
		if !slices.Equal(c.evicted, want) {
			t.Errorf("after %v: evicted %v, want %v", after, c.evicted, want)
		}
	}
	look(0, "large")
	look(5*time.Second, "large")
	look(29*time.Second, "large")
	c.pods[1].Reclaimed = true
	look(30*time.Second, "large", "middle")
	look(59*time.Second, "large", "middle")
	look(60*time.Second, "large", "middle", "small") // it takes too long
}
