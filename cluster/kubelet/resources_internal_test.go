package kubelet

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/nodefs"
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
		if got := podLimits(&v1.Pod{Spec: c.spec}, 0); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestThresholds(t *testing.T) {
	all, err := ParseThresholds(DefaultEvictionHard)
	if err != nil || len(all) != 5 || all[0].amount(0) != 100<<20 || all[1].amount(1000) != 100 {
		t.Errorf("defaults: %+v, %v", all, err)
	}
	if all, err := ParseThresholds("imagefs.available<0%,nodefs.available<1Gi"); err != nil || len(all) != 1 || all[0].Signal != SignalNodeFS {
		t.Errorf("switched off: %+v, %v", all, err)
	}
	for _, bad := range []string{"memory.available", "memory<1Gi", "memory.available<x", "memory.available<-1Gi", "nodefs.available<100%", "pid.available<1,pid.available<2"} {
		if _, err := ParseThresholds(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPressure(t *testing.T) {
	e, err := ParseEviction("memory.available<100Mi,nodefs.available<10%", "memory.available<300Mi",
		map[string]string{"memory.available": "30s"}, map[string]string{"nodefs.available": "5%"})
	if err != nil {
		t.Fatal(err)
	}
	e.Transition = time.Minute
	p, start := newPressure(), time.Unix(1000, 0)
	look := func(after time.Duration, memory, disk int64, want ...Signal) {
		t.Helper()
		act := p.look(&e, map[Signal]Observation{SignalMemory: {memory << 20, 1000 << 20}, SignalNodeFS: {disk, 100}}, start.Add(after))
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
	look(0, 500, 50)
	has(0, v1.NodeMemoryPressure, false)
	look(1*time.Second, 200, 50) // soft: the grace begins
	look(20*time.Second, 350, 50)
	look(21*time.Second, 200, 50) // and again from the start
	look(50*time.Second, 200, 50)
	look(51*time.Second, 200, 50, SignalMemory)
	has(51*time.Second, v1.NodeMemoryPressure, true)
	look(52*time.Second, 50, 9, SignalMemory, SignalNodeFS) // memory first
	look(53*time.Second, 500, 12, SignalNodeFS)             // until the minimum is free
	look(54*time.Second, 500, 15)
	look(55*time.Second, 500, 12)
	has(100*time.Second, v1.NodeDiskPressure, true) // in transition
	has(114*time.Second, v1.NodeDiskPressure, false)
	has(100*time.Second, v1.NodePIDPressure, false)
}

func TestRank(t *testing.T) {
	pod := func(name string, request string, used int64, priority int32) *candidate {
		c := sized(map[v1.ResourceName]string{"memory": request}, nil)
		c.Name = "main"
		return &candidate{
			pod:    &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Priority: &priority, Containers: []v1.Container{c}}},
			memory: used << 20, containers: map[string]int64{"main": used << 20},
		}
	}
	all := []*candidate{
		pod("modest", "200Mi", 100, 0), pod("greedy", "100Mi", 300, 0), pod("greedier", "0", 250, 0),
		pod("important", "100Mi", 900, 10), pod("humble", "200Mi", 100, -1),
	}
	rank(all, v1.ResourceMemory)
	want := []string{"greedier", "greedy", "important", "humble", "modest"}
	for i, c := range all {
		if c.pod.Name != want[i] {
			t.Errorf("place %d: %s, want %s", i, c.pod.Name, want[i])
		}
	}
	c := crossing{Threshold: Threshold{Signal: SignalMemory}, seen: Observation{Available: 50 << 20}, amount: 100 << 20}
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

func TestOverDiskLimit(t *testing.T) {
	limit := resource.MustParse("10Mi")
	pod := &v1.Pod{Spec: v1.PodSpec{
		Volumes: []v1.Volume{
			{Name: "small", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}},
			{Name: "large", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		},
		Containers: []v1.Container{
			sized(nil, map[v1.ResourceName]string{"ephemeral-storage": "20Mi"}),
			sized(nil, map[v1.ResourceName]string{"ephemeral-storage": "40Mi"}),
		},
	}}
	pod.Spec.Containers[0].Name, pod.Spec.Containers[1].Name = "a", "b"
	mi := func(n int64) nodefs.Usage { return nodefs.Usage{Bytes: n << 20} }
	for _, c := range []struct {
		small, large, a, b int64
		want               string
	}{
		{10, 10, 10, 10, ""},
		{11, 0, 0, 0, `Usage of EmptyDir volume "small" exceeds the limit "10Mi". `},
		{0, 61, 0, 0, "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. "},
		{0, 0, 21, 0, `Container a exceeded its local ephemeral storage limit "20Mi". `},
		{0, 0, 20, 41, "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. "},
	} {
		got := overDiskLimit(pod, map[string]nodefs.Usage{"small": mi(c.small), "large": mi(c.large)}, map[string]nodefs.Usage{"a": mi(c.a), "b": mi(c.b)}, nodefs.Usage{})
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if !limitsDisk(pod) || limitsDisk(&v1.Pod{}) {
		t.Error("who has limits is not known")
	}
}
