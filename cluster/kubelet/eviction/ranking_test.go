package eviction

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func sized(requests, limits map[v1.ResourceName]string) v1.Container {
	list := func(in map[v1.ResourceName]string) v1.ResourceList {
		out := v1.ResourceList{}
		for name, q := range in {
			out[name] = resource.MustParse(q)
		}
		return out
	}
	return v1.Container{Resources: v1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}}
}

func TestRank(t *testing.T) {
	pod := func(name string, request string, used int64, priority int32) *candidate {
		c := sized(map[v1.ResourceName]string{"memory": request}, nil)
		c.Name = "main"
		return &candidate{
			Pod:  Pod{Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Priority: &priority, Containers: []v1.Container{c}}}},
			used: used << 20, containers: map[string]int64{"main": used << 20},
		}
	}
	all := []*candidate{
		pod("modest", "200Mi", 100, 0), pod("greedy", "100Mi", 300, 0), pod("greedier", "0", 250, 0),
		pod("important", "100Mi", 900, 10), pod("humble", "200Mi", 100, -1),
	}
	rank(all, v1.ResourceMemory)
	want := []string{"greedier", "greedy", "important", "humble", "modest"}
	for i, c := range all {
		if c.Name != want[i] {
			t.Errorf("place %d: %s, want %s", i, c.Name, want[i])
		}
	}
	c := met{Threshold: Threshold{Signal: SignalMemory}, now: Observation{Available: 50 << 20}, amount: 100 << 20}
	said := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
		"Container main was using 300Mi, request is 100Mi, has larger consumption of memory. "
	if got := evictionMessage(c, all[1]); got != said {
		t.Errorf("%q, want %q", got, said)
	}
	modest := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
	if got := evictionMessage(c, all[4]); got != modest {
		t.Errorf("%q, want %q", got, modest)
	}
}
