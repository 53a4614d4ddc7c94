package scheduler

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// resizing returns a bound pod with these requests, allocation and actual resources of cpu.
func resizing(asks, given, has string, generation int64) *v1.Pod {
	p := makePod("x", on("a"), requests("cpu", asks))
	p.Generation = generation
	cpu := func(q string) v1.ResourceList { return v1.ResourceList{v1.ResourceCPU: resource.MustParse(q)} }
	p.Status.ContainerStatuses = []v1.ContainerStatus{{
		Name: p.Spec.Containers[0].Name, AllocatedResources: cpu(given), Resources: &v1.ResourceRequirements{Requests: cpu(has)},
	}}
	return p
}

// A pod that is resized counts for the maximum of its requests, its allocation and what its
// containers have; what it releases is free when its containers have released it, and
// pending pods are then scheduled.
func TestResizedPodsCount(t *testing.T) {
	c := makeCluster([]*v1.Node{makeNode("a")})
	before := resizing("1", "1", "1", 1)
	c.setPod(before)
	for _, s := range []struct {
		name              string
		asks, given, has  string
		infeasible        bool
		milli, generation int64
		frees             bool
	}{
		{"asks for more", "2", "1", "1", false, 2000, 2, false},
		{"which never fits", "2", "1", "1", true, 1000, 2, true},
		{"asks for another", "3", "1", "1", false, 3000, 3, false},
		{"was given it", "3", "3", "1", false, 3000, 3, false},
		{"has it", "3", "3", "3", false, 3000, 3, false},
		{"asks for less", "1", "3", "3", false, 3000, 4, false},
		{"was given less", "1", "1", "3", false, 3000, 4, false},
		{"has less", "1", "1", "1", false, 1000, 4, true},
	} {
		now := resizing(s.asks, s.given, s.has, s.generation)
		if s.infeasible {
			now.Status.Conditions = []v1.PodCondition{{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: v1.PodReasonInfeasible}}
		}
		if got := freedBy(before, now)&causeResource != 0; got != s.frees {
			t.Errorf("%s: frees something: %v, want %v", s.name, got, s.frees)
		}
		c.setPod(now)
		if got := c.nodes["a"].used.milliCPU; got != s.milli {
			t.Errorf("%s: %d milli on the node, want %d", s.name, got, s.milli)
		}
		before = now
	}
}
