package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestExtendedResourcesAreKept(t *testing.T) {
	one, two := resource.MustParse("1"), resource.MustParse("2")
	node := v1.NodeStatus{
		Capacity:    v1.ResourceList{v1.ResourceCPU: one, "example.com/dongle": two},
		Allocatable: v1.ResourceList{v1.ResourceCPU: one, "example.com/dongle": one, "hugepages-2Mi": one},
	}
	mergeNodeStatus(&node, &v1.NodeStatus{Capacity: v1.ResourceList{v1.ResourceCPU: two}, Allocatable: v1.ResourceList{v1.ResourceCPU: two}})
	want := v1.NodeStatus{
		Capacity:    v1.ResourceList{v1.ResourceCPU: two, "example.com/dongle": two},
		Allocatable: v1.ResourceList{v1.ResourceCPU: two, "example.com/dongle": one},
	}
	for _, x := range []struct{ got, want v1.ResourceList }{{node.Capacity, want.Capacity}, {node.Allocatable, want.Allocatable}} {
		if len(x.got) != len(x.want) {
			t.Errorf("got %v, want %v", x.got, x.want)
		}
		for name, q := range x.want {
			if got := x.got[name]; got.Cmp(q) != 0 {
				t.Errorf("%s: got %s, want %s", name, got.String(), q.String())
			}
		}
	}
}
