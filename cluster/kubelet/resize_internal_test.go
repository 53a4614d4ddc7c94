package kubelet

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
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

func TestFits(t *testing.T) {
	node := amounts("cpu=2", "memory=1Gi")
	for _, c := range []struct {
		name               string
		asked, given, held v1.ResourceList
		reason, message    string
	}{
		{"alone", amounts("cpu=2", "memory=1Gi"), amounts("cpu=1"), nil, "", ""},
		{"beside others", amounts("cpu=1500m"), amounts("cpu=1"), amounts("cpu=500m"), "", ""},
		{
			"not beside others", amounts("cpu=1501m"), amounts("cpu=1"), amounts("cpu=500m"),
			"Deferred", "Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
		},
		{
			"memory, not beside others", amounts("cpu=1", "memory=1Gi"), amounts("cpu=1"), amounts("cpu=1", "memory=1Mi"),
			"Deferred", "Node didn't have enough resource: memory, requested: 1073741824, used: 1048576, capacity: 1073741824",
		},
		{
			"never", amounts("cpu=2001m"), amounts("cpu=1"), nil,
			"Infeasible", "Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000",
		},
		{
			"never before not now", amounts("cpu=2", "memory=2Gi"), amounts("cpu=1"), amounts("cpu=1"),
			"Infeasible", "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824",
		},
		{"less, where there is no room", amounts("cpu=1"), amounts("cpu=2"), amounts("cpu=3"), "", ""},
		{"no more of what there is no room for", amounts("cpu=1", "memory=2Mi"), amounts("cpu=1", "memory=1Mi"), amounts("cpu=3"), "", ""},
	} {
		reason, message := fits(c.asked, c.given, c.held, node)
		if reason != c.reason || message != c.message {
			t.Errorf("%s: %q %q, want %q %q", c.name, reason, message, c.reason, c.message)
		}
	}
}

func TestSizesOn(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Name: "i", Resources: size(amounts("cpu=1"), nil)}},
		Containers:     []v1.Container{{Name: "a", Resources: size(amounts("cpu=1", "ephemeral-storage=1Gi"), amounts("memory=1Gi"))}},
	}}
	if got := sizesOf(pod).on(pod); got != pod {
		t.Error("the same sizes make another pod")
	}
	if got := (sizes{"gone": size(amounts("cpu=9"), nil)}).on(pod); got != pod {
		t.Error("sizes of others make another pod")
	}
	got := sizes{"a": size(amounts("cpu=2"), amounts("cpu=3")), "i": size(nil, amounts("memory=1Mi"))}.on(pod)
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
		if got := widest(a, c.b); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if got := widest(c.b, a); got != c.want {
			t.Errorf("%s, turned: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// sizedSight is a sight of a pod with one running container that has an actual size, and is
// asked to have another.
func sizedSight(has, asked v1.ResourceRequirements, policies ...v1.ContainerResizePolicy) *observed {
	s := seen(v1.RestartPolicyOnFailure, cri.Container{State: cri.Running, Resources: containerspec.Resources(&v1.Container{Resources: has}, 0)})
	s.Pod.Spec.Containers[0].Resources, s.Pod.Spec.Containers[0].ResizePolicy = asked, policies
	s.actual = map[string]actualSize{"a": {"id-a", has}}
	return s
}

func TestShownSize(t *testing.T) {
	for _, c := range []struct {
		name             string
		has, given, want v1.ResourceRequirements
	}{
		{name: "nothing"},
		{
			"as given", size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")), size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")),
			size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")),
		},
		{
			"not yet as given", size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")), size(amounts("cpu=1", "memory=1Gi"), amounts("cpu=2", "memory=2Gi")),
			size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")),
		},
		{"less than the kernel can do", size(amounts("cpu=2m"), amounts("cpu=10m")), size(amounts("cpu=1m"), amounts("cpu=5m")), size(amounts("cpu=1m"), amounts("cpu=5m"))},
		{
			"a limit that is not there yet", size(amounts("cpu=20m"), nil), size(amounts("cpu=20m", "memory=1Mi"), amounts("cpu=30m", "memory=9Mi")),
			size(amounts("cpu=20m"), nil),
		},
		{"what cannot change", size(amounts("cpu=20m"), nil), size(amounts("cpu=30m", "ephemeral-storage=1Gi"), nil), size(amounts("cpu=20m", "ephemeral-storage=1Gi"), nil)},
	} {
		s := sizedSight(c.has, c.given)
		st := s.status(noon).ContainerStatuses[0]
		if st.Resources == nil {
			t.Errorf("%s: no resources", c.name)
			continue
		}
		for what, l := range map[string][2]v1.ResourceList{
			"requests": {st.Resources.Requests, c.want.Requests}, "limits": {st.Resources.Limits, c.want.Limits}, "allocated": {st.AllocatedResources, c.given.Requests},
		} {
			equal := len(l[0]) == len(l[1])
			for name, q := range l[1] {
				equal = equal && q.Equal(l[0][name])
			}
			if !equal {
				t.Errorf("%s: %s %v, want %v", c.name, what, l[0], l[1])
			}
		}
	}
}

func TestMadeWith(t *testing.T) {
	given := size(amounts("cpu=1m", "memory=35Mi", "ephemeral-storage=1Gi"), amounts("cpu=30m"))
	for _, c := range []struct {
		name string
		has  v1.ResourceRequirements
		want v1.ResourceRequirements
	}{
		{"as given", given, given},
		{"more", size(amounts("cpu=2"), amounts("cpu=3", "memory=45Mi")), size(amounts("cpu=2", "memory=35Mi", "ephemeral-storage=1Gi"), amounts("cpu=3", "memory=45Mi"))},
		{"nothing", size(nil, nil), size(amounts("memory=35Mi", "ephemeral-storage=1Gi"), nil)},
	} {
		got := madeWith(&v1.Container{Resources: given}, containerspec.Resources(&v1.Container{Resources: c.has}, 9))
		if !sameSize(&got, &c.want) || len(got.Requests) != len(c.want.Requests) || len(got.Limits) != len(c.want.Limits) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A policy ends a container, at once and without a back-off; else it is changed as it runs.
func TestResizePolicy(t *testing.T) {
	policy := func(name v1.ResourceName) v1.ContainerResizePolicy {
		return v1.ContainerResizePolicy{ResourceName: name, RestartPolicy: v1.RestartContainer}
	}
	has := size(amounts("cpu=20m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi"))
	for _, c := range []struct {
		name     string
		asked    v1.ResourceRequirements
		policies []v1.ContainerResizePolicy
		restart  bool
	}{
		{"no policy", size(amounts("cpu=25m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")), nil, false},
		{"cpu's policy, cpu request", size(amounts("cpu=25m", "memory=35Mi"), amounts("cpu=30m", "memory=45Mi")), []v1.ContainerResizePolicy{policy("cpu")}, true},
		{"cpu's policy, memory", size(amounts("cpu=20m", "memory=36Mi"), amounts("cpu=30m", "memory=46Mi")), []v1.ContainerResizePolicy{policy("cpu")}, false},
		{"memory's policy, memory request", size(amounts("cpu=20m", "memory=36Mi"), amounts("cpu=30m", "memory=45Mi")), []v1.ContainerResizePolicy{policy("memory")}, true},
	} {
		s := sizedSight(has, c.asked, c.policies...)
		next := plan(s, noon)
		if got := len(next.kill) == 1; got != c.restart {
			t.Errorf("%s: kills %+v", c.name, next.kill)
		}
		if len(s.growths()) != 1 {
			t.Errorf("%s: changes %+v", c.name, s.growths())
		}
		if !c.restart {
			continue
		}
		if next.kill[0].message != "Container a resize requires restart" {
			t.Errorf("%s: %q", c.name, next.kill[0].message)
		}
		ended := &s.Containers["a"][0]
		ended.State, ended.ExitCode, ended.Finished = cri.Exited, 0, noon // which OnFailure would let be
		s.backoff["a"] = &backoff{wait: backoffFirst, last: noon.Add(-time.Second)}
		if next = plan(s, noon); len(next.start) != 1 || next.finished || len(next.waiting) != 0 {
			t.Errorf("%s: then %+v, want it started", c.name, next)
		}
	}
}

// allotted is a kubelet with pods that run, by name; nothing of them is real.
func allotted(t *testing.T, capacity v1.ResourceList, pods ...*v1.Pod) (*Kubelet, *record.FakeRecorder) {
	t.Helper()
	events := record.NewFakeRecorder(100)
	k := &Kubelet{capacity: capacity, log: slog.New(slog.DiscardHandler), config: Config{RootDir: t.TempDir(), Recorder: events, Client: fake.NewClientset()}}
	k.informers = newInformers(k.config.Client, "n", k)
	k.allotments = newAllotments(k)
	go k.informers.pods.RunWithContext(t.Context())
	within, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !cache.WaitForCacheSync(within.Done(), k.informers.synced) {
		t.Fatal("the informer does not sync")
	}
	for _, pod := range pods {
		k.allotments.add(newWorker(k, pod), pod)
	}
	return k, events
}

func asking(name, cpu string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: size(amounts("cpu="+cpu), nil)}}},
	}
}

func another(pod *v1.Pod, cpu string) *v1.Pod {
	out := pod.DeepCopy()
	out.Spec.Containers[0].Resources = size(amounts("cpu="+cpu), nil)
	out.Generation++
	return out
}

func cpuOf(pod *v1.Pod) string { return pod.Spec.Containers[0].Resources.Requests.Cpu().String() }

// What one pod leaves goes to those that wait, in their order; room is never given twice.
func TestDeferredResizes(t *testing.T) {
	big, low, high, late := asking("big", "2"), asking("low", "500m"), asking("high", "500m"), asking("late", "500m")
	priority := int32(1000)
	high.Spec.Priority = &priority
	k, events := allotted(t, amounts("cpu=4"), big, low, high, late)
	want := func(d decision, cpu, reason string) {
		t.Helper()
		got := ""
		if d.pending != nil {
			got = d.pending.Reason
		}
		if cpuOf(d.pod) != cpu || got != reason {
			t.Errorf("%s has %s, pending %q, want %s and %q", d.pod.Name, cpuOf(d.pod), got, cpu, reason)
		}
	}
	want(k.allotments.decide(another(low, "2")), "500m", "Deferred")
	want(k.allotments.decide(another(late, "2")), "500m", "Deferred")
	want(k.allotments.decide(another(high, "2")), "500m", "Deferred")
	want(k.allotments.decide(another(late, "5")), "500m", "Infeasible")
	want(k.allotments.decide(another(late, "2")), "500m", "Deferred")
	k.allotments.remove(k.allotments.pods[big.UID].w)
	want(k.allotments.decide(another(high, "2")), "2", "")
	want(k.allotments.decide(another(low, "2")), "500m", "Deferred")
	want(k.allotments.decide(low), "500m", "") // it has thought better of it

	// What is given up counts when the containers have given it up.
	has := size(amounts("cpu=2"), nil)
	status := v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "c", AllocatedResources: amounts("cpu=2"), Resources: &has}}}
	k.allotments.seen(high.UID, &status)
	want(k.allotments.decide(another(another(high, "2"), "250m")), "250m", "")
	want(k.allotments.decide(another(late, "2")), "500m", "Deferred")
	status = v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "c", AllocatedResources: amounts("cpu=250m"), Resources: &has}}}
	k.allotments.seen(high.UID, &status)
	want(k.allotments.decide(another(late, "2")), "500m", "Deferred")
	has = size(amounts("cpu=250m"), nil)
	k.allotments.seen(high.UID, &status)
	want(k.allotments.decide(another(late, "2")), "2", "")

	var told []string
	for len(events.Events) > 0 {
		reason, _, _ := strings.Cut(<-events.Events, ":")
		told = append(told, reason)
	}
	if got, want := strings.Join(told, "\n"), strings.TrimSuffix(strings.Repeat("Warning ResizeDeferred Pod resize Deferred\n", 3)+
		"Warning ResizeInfeasible Pod resize Infeasible\nWarning ResizeDeferred Pod resize Deferred\n"+
		strings.Repeat("Normal ResizeStarted Pod resize started\n", 3), "\n"); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
}

// A new kubelet knows what was given, from the pod's folder or from its status.
func TestAllotmentsAreKept(t *testing.T) {
	pod := asking("p", "1")
	k, _ := allotted(t, amounts("cpu=4"), pod)
	d := k.allotments.decide(another(pod, "2"))
	if d.progress == nil || d.progress.ObservedGeneration != 2 {
		t.Errorf("progress %+v", d.progress)
	}
	k.allotments.started(pod.UID, "c", "id", &d.pod.Spec.Containers[0].Resources)
	k.allotments.add(newWorker(k, pod), another(another(pod, "2"), "9"))
	d = k.allotments.decide(another(another(pod, "2"), "9"))
	if cpuOf(d.pod) != "2" || d.pending == nil || d.began != 2 || d.actual["c"].ID != "id" {
		t.Errorf("from the folder: %s, %+v", cpuOf(d.pod), d)
	}

	other := asking("q", "9")
	other.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", AllocatedResources: amounts("cpu=1"), Resources: &v1.ResourceRequirements{Requests: amounts("cpu=1")}}}
	k.allotments.add(newWorker(k, other), other)
	if d = k.allotments.decide(other); cpuOf(d.pod) != "1" || d.pending == nil || d.began != 0 {
		t.Errorf("from the status: %s, %+v", cpuOf(d.pod), d)
	}
}

func TestResizeConditions(t *testing.T) {
	s := sizedSight(size(amounts("cpu=1"), nil), size(amounts("cpu=1"), nil))
	s.pending = &v1.PodCondition{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: v1.PodReasonDeferred, Message: "no room"}
	find := func(status v1.PodStatus, kind v1.PodConditionType) *v1.PodCondition {
		for i := range status.Conditions {
			if status.Conditions[i].Type == kind {
				return &status.Conditions[i]
			}
		}
		return nil
	}
	status := s.status(noon)
	if c := find(status, v1.PodResizePending); c == nil || c.Reason != "Deferred" || !c.LastTransitionTime.Time.Equal(noon) {
		t.Errorf("deferred: %+v", c)
	}
	s.Pod.Status = status
	if c := find(s.status(noon.Add(time.Hour)), v1.PodResizePending); !c.LastTransitionTime.Time.Equal(noon) {
		t.Errorf("an hour later: %+v", c)
	}
	s.pending, s.progress = nil, &v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue}
	status = s.status(noon)
	if find(status, v1.PodResizePending) != nil || find(status, v1.PodResizeInProgress) == nil {
		t.Errorf("given: %+v", status.Conditions)
	}
	s.Pod.Status = status
	s.Pod.Status.Phase = v1.PodFailed
	if status = s.status(noon); find(status, v1.PodResizeInProgress) != nil {
		t.Errorf("ended: %+v", status.Conditions)
	}
}
