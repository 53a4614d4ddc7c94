package resize

import (
	"testing"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/fixture"
)

func TestSizesOn(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Name: "i", Resources: fixture.Size(fixture.Amounts("cpu=1"), nil)}},
		Containers:     []v1.Container{{Name: "a", Resources: fixture.Size(fixture.Amounts("cpu=1", "ephemeral-storage=1Gi"), fixture.Amounts("memory=1Gi"))}},
	}}
	if got := sizesOf(pod).On(pod); got != pod {
		t.Error("the same sizes make another pod")
	}
	if got := (Sizes{"gone": fixture.Size(fixture.Amounts("cpu=9"), nil)}).On(pod); got != pod {
		t.Error("sizes of others make another pod")
	}
	got := Sizes{"a": fixture.Size(fixture.Amounts("cpu=2"), fixture.Amounts("cpu=3")), "i": fixture.Size(nil, fixture.Amounts("memory=1Mi"))}.On(pod)
	want := []v1.ResourceRequirements{fixture.Size(fixture.Amounts("cpu=2", "ephemeral-storage=1Gi"), fixture.Amounts("cpu=3")), fixture.Size(nil, fixture.Amounts("memory=1Mi"))}
	for i, c := range []v1.Container{got.Spec.Containers[0], got.Spec.InitContainers[0]} {
		if !sameSize(&c.Resources, &want[i]) || len(c.Resources.Requests) != len(want[i].Requests) || len(c.Resources.Limits) != len(want[i].Limits) {
			t.Errorf("%s: %+v, want %+v", c.Name, c.Resources, want[i])
		}
	}
	if q := pod.Spec.Containers[0].Resources.Requests["cpu"]; q.String() != "1" {
		t.Error("the pod itself has changed")
	}
}

func TestCreatedWith(t *testing.T) {
	allocated := fixture.Size(fixture.Amounts("cpu=1m", "memory=35Mi", "ephemeral-storage=1Gi"), fixture.Amounts("cpu=30m"))
	for _, c := range []struct {
		name string
		has  v1.ResourceRequirements
		want v1.ResourceRequirements
	}{
		{"as allocated", allocated, allocated},
		{"more", fixture.Size(fixture.Amounts("cpu=2"), fixture.Amounts("cpu=3", "memory=45Mi")), fixture.Size(fixture.Amounts("cpu=2", "memory=35Mi", "ephemeral-storage=1Gi"), fixture.Amounts("cpu=3", "memory=45Mi"))},
		{"nothing", fixture.Size(nil, nil), fixture.Size(fixture.Amounts("memory=35Mi", "ephemeral-storage=1Gi"), nil)},
	} {
		got := CreatedWith(&v1.Container{Resources: allocated}, containerspec.Resources(&v1.Container{Resources: c.has}, 9))
		if !sameSize(&got, &c.want) || len(got.Requests) != len(c.want.Requests) || len(got.Limits) != len(c.want.Limits) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
