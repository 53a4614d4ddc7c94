package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/eviction"
)

func TestAllocatable(t *testing.T) {
	list := func(cpu, memory, disk string) v1.ResourceList {
		return v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse(memory), v1.ResourceEphemeralStorage: resource.MustParse(disk)}
	}
	hard, err := eviction.ParseThresholds(eviction.DefaultHard)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                     string
		capacity, reserved, want v1.ResourceList
		pods                     string
	}{
		{"nothing reserved", list("2", "1100Mi", "10Gi"), nil, list("2", "1000Mi", "9Gi"), "1100Mi"},
		{"some reserved", list("2", "1100Mi", "10Gi"), list("500m", "200Mi", "1Gi"), list("1500m", "800Mi", "8Gi"), "900Mi"},
		{"more than there is", list("2", "1Gi", "10Gi"), list("3", "2Gi", "1Ti"), list("0", "0", "0"), "0"},
	} {
		k := &Kubelet{capacity: c.capacity, config: Config{Reserved: c.reserved, Eviction: eviction.Config{Hard: hard}}}
		got := k.allocatable()
		for name, want := range c.want {
			if have := got[name]; have.Cmp(want) != 0 {
				t.Errorf("%s: %s is %s, want %s", c.name, name, have.String(), want.String())
			}
		}
		if pods := k.podsMemory(); pods.Cmp(resource.MustParse(c.pods)) != 0 {
			t.Errorf("%s: all pods may have %s, want %s", c.name, pods.String(), c.pods)
		}
	}
}
