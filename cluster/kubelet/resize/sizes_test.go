package resize

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/containerspec"
)

func amounts(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for _, p := range pairs {
		name, q, _ := strings.Cut(p, "=")
		out[v1.ResourceName(name)] = resource.MustParse(q)
	}
	return out
}

func size(requests, limits v1.ResourceList) v1.ResourceRequirements {
	return v1.ResourceRequirements{Requests: requests, Limits: limits}
}

func TestSizesOn(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Name: "i", Resources: size(amounts("cpu=1"), nil)}},
		Containers:     []v1.Container{{Name: "a", Resources: size(amounts("cpu=1", "ephemeral-storage=1Gi"), amounts("memory=1Gi"))}},
	}}
	if got := sizesOf(pod).On(pod); got != pod {
		t.Error("the same sizes make another pod")
	}
	if got := (Sizes{"gone": size(amounts("cpu=9"), nil)}).On(pod); got != pod {
		t.Error("sizes of others make another pod")
	}
	got := Sizes{"a": size(amounts("cpu=2"), amounts("cpu=3")), "i": size(nil, amounts("memory=1Mi"))}.On(pod)
	want := []v1.ResourceRequirements{size(amounts("cpu=2", "ephemeral-storage=1Gi"), amounts("cpu=3")), size(nil, amounts("memory=1Mi"))}
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
	allocated := size(amounts("cpu=1m", "memory=35Mi", "ephemeral-storage=1Gi"), amounts("cpu=30m"))
	for _, c := range []struct {
		name string
		has  v1.ResourceRequirements
		want v1.ResourceRequirements
	}{
		{"as allocated", allocated, allocated},
		{"more", size(amounts("cpu=2"), amounts("cpu=3", "memory=45Mi")), size(amounts("cpu=2", "memory=35Mi", "ephemeral-storage=1Gi"), amounts("cpu=3", "memory=45Mi"))},
		{"nothing", size(nil, nil), size(amounts("memory=35Mi", "ephemeral-storage=1Gi"), nil)},
	} {
		got := CreatedWith(&v1.Container{Resources: allocated}, containerspec.Resources(&v1.Container{Resources: c.has}, 9))
		if !sameSize(&got, &c.want) || len(got.Requests) != len(c.want.Requests) || len(got.Limits) != len(c.want.Limits) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
