package resize

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/cgroup"
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

func TestPodLimits(t *testing.T) {
	type m = map[v1.ResourceName]string
	always := v1.ContainerRestartPolicyAlways
	sidecar := sized(m{"cpu": "100m", "memory": "10Mi"}, m{"cpu": "200m", "memory": "20Mi"})
	sidecar.RestartPolicy = &always
	for _, c := range []struct {
		name string
		spec v1.PodSpec
		want cgroup.Limits
	}{
		{"nothing said", v1.PodSpec{Containers: []v1.Container{{}}}, cgroup.Limits{CPUShares: 2}},
		{"requests only", v1.PodSpec{Containers: []v1.Container{sized(m{"cpu": "500m"}, nil), sized(m{"cpu": "250m"}, nil)}}, cgroup.Limits{CPUShares: 768}},
		{
			"all limited",
			v1.PodSpec{Containers: []v1.Container{sized(nil, m{"cpu": "500m", "memory": "64Mi"}), sized(nil, m{"cpu": "1", "memory": "64Mi"})}},
			cgroup.Limits{CPUShares: 1536, CPUQuota: 150_000, CPUPeriod: 100_000, Memory: 128 << 20},
		},
		{
			"one without",
			v1.PodSpec{Containers: []v1.Container{sized(nil, m{"cpu": "500m", "memory": "64Mi"}), {}}},
			cgroup.Limits{CPUShares: 512},
		},
		{
			"a large init container", v1.PodSpec{
				InitContainers: []v1.Container{sized(nil, m{"cpu": "2", "memory": "1Gi"})},
				Containers:     []v1.Container{sized(nil, m{"cpu": "1", "memory": "64Mi"})},
			}, cgroup.Limits{CPUShares: 2048, CPUQuota: 200_000, CPUPeriod: 100_000, Memory: 1 << 30},
		},
		{
			"a sidecar",
			v1.PodSpec{InitContainers: []v1.Container{sidecar}, Containers: []v1.Container{sized(nil, m{"cpu": "1", "memory": "64Mi"})}},
			cgroup.Limits{CPUShares: 1126, CPUQuota: 120_000, CPUPeriod: 100_000, Memory: 84 << 20},
		},
		{
			"the pod's own", v1.PodSpec{
				Containers: []v1.Container{{}},
				Resources:  &v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("32Mi")}},
			}, cgroup.Limits{CPUShares: 2, Memory: 32 << 20},
		},
	} {
		if got := PodLimits(&v1.Pod{Spec: c.spec}, 0); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestWidest(t *testing.T) {
	a := cgroup.Limits{CPUShares: 10, CPUQuota: 5000, CPUPeriod: 100_000, Memory: 100, Pids: 9}
	for _, c := range []struct {
		name    string
		b, want cgroup.Limits
	}{
		{"more of all", cgroup.Limits{CPUShares: 20, CPUQuota: 6000, CPUPeriod: 100_000, Memory: 200, Pids: 9}, cgroup.Limits{CPUShares: 20, CPUQuota: 6000, CPUPeriod: 100_000, Memory: 200, Pids: 9}},
		{"less of some", cgroup.Limits{CPUShares: 5, CPUQuota: 6000, CPUPeriod: 100_000, Memory: 50, Pids: 9}, cgroup.Limits{CPUShares: 10, CPUQuota: 6000, CPUPeriod: 100_000, Memory: 100, Pids: 9}},
		{"without limits", cgroup.Limits{CPUShares: 2, Pids: 9}, cgroup.Limits{CPUShares: 10, CPUPeriod: 100_000, Pids: 9}},
	} {
		if got := Widest(a, c.b); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got := Widest(c.b, a); got != c.want {
			t.Errorf("%s, turned: %+v, want %+v", c.name, got, c.want)
		}
	}
}
