package eviction

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestPressure(t *testing.T) {
	e, err := Parse("memory.available<100Mi,nodefs.available<10%", "memory.available<300Mi",
		map[string]string{"memory.available": "30s"}, map[string]string{"nodefs.available": "5%"})
	if err != nil {
		t.Fatal(err)
	}
	e.Transition = time.Minute
	p, start := newPressure(), time.Unix(1000, 0)
	evaluate := func(after time.Duration, memory, disk int64, want ...Signal) {
		t.Helper()
		act := p.evaluateThresholds(&e, map[Signal]Observation{SignalMemory: {memory << 20, 1000 << 20}, SignalNodeFS: {disk, 100}}, start.Add(after))
		if len(act) != len(want) {
			t.Errorf("after %v with %d Mi and %d %%: %+v, want %v", after, memory, disk, act, want)
			return
		}
		for i := range act {
			if act[i].Signal != want[i] {
				t.Errorf("after %v: %+v, want %v", after, act, want)
			}
		}
	}
	has := func(after time.Duration, c v1.NodeConditionType, want bool) {
		t.Helper()
		if got := p.has(&e, c, start.Add(after)); got != want {
			t.Errorf("after %v: %s is %v", after, c, got)
		}
	}
	evaluate(0, 500, 50)
	has(0, v1.NodeMemoryPressure, false)
	evaluate(1*time.Second, 200, 50) // soft: the grace begins
	evaluate(20*time.Second, 350, 50)
	evaluate(21*time.Second, 200, 50) // and again from the start
	evaluate(50*time.Second, 200, 50)
	evaluate(51*time.Second, 200, 50, SignalMemory)
	has(51*time.Second, v1.NodeMemoryPressure, true)
	evaluate(52*time.Second, 50, 9, SignalMemory, SignalNodeFS) // memory first
	evaluate(53*time.Second, 500, 12, SignalNodeFS)             // until the minimum is free
	evaluate(54*time.Second, 500, 15)
	evaluate(55*time.Second, 500, 12)
	has(100*time.Second, v1.NodeDiskPressure, true) // in transition
	has(114*time.Second, v1.NodeDiskPressure, false)
	has(100*time.Second, v1.NodePIDPressure, false)
}
