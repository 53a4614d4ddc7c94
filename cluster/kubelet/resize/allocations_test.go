package resize

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/kubelet/fixture"
)

func TestFits(t *testing.T) {
	node := fixture.Amounts("cpu=2", "memory=1Gi")
	for _, c := range []struct {
		name               string
		asked, given, held v1.ResourceList
		reason, message    string
	}{
		{"alone", fixture.Amounts("cpu=2", "memory=1Gi"), fixture.Amounts("cpu=1"), nil, "", ""},
		{"beside others", fixture.Amounts("cpu=1500m"), fixture.Amounts("cpu=1"), fixture.Amounts("cpu=500m"), "", ""},
		{
			"not beside others", fixture.Amounts("cpu=1501m"), fixture.Amounts("cpu=1"), fixture.Amounts("cpu=500m"),
			"Deferred", "Node didn't have enough resource: cpu, requested: 1501, used: 500, capacity: 2000",
		},
		{
			"memory, not beside others", fixture.Amounts("cpu=1", "memory=1Gi"), fixture.Amounts("cpu=1"), fixture.Amounts("cpu=1", "memory=1Mi"),
			"Deferred", "Node didn't have enough resource: memory, requested: 1073741824, used: 1048576, capacity: 1073741824",
		},
		{
			"never", fixture.Amounts("cpu=2001m"), fixture.Amounts("cpu=1"), nil,
			"Infeasible", "Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000",
		},
		{
			"never before not now", fixture.Amounts("cpu=2", "memory=2Gi"), fixture.Amounts("cpu=1"), fixture.Amounts("cpu=1"),
			"Infeasible", "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824",
		},
		{"less, where there is no room", fixture.Amounts("cpu=1"), fixture.Amounts("cpu=2"), fixture.Amounts("cpu=3"), "", ""},
		{"no more of what there is no room for", fixture.Amounts("cpu=1", "memory=2Mi"), fixture.Amounts("cpu=1", "memory=1Mi"), fixture.Amounts("cpu=3"), "", ""},
	} {
		reason, message := fits(c.asked, c.given, c.held, node)
		if reason != c.reason || message != c.message {
			t.Errorf("%s: %q %q, want %q %q", c.name, reason, message, c.reason, c.message)
		}
	}
}

// bound is a node with all of its pods bound, and the worker of one of them.
type bound struct {
	allocatable v1.ResourceList
	events      *record.FakeRecorder
}

func (b *bound) Allocatable() v1.ResourceList    { return b.allocatable }
func (b *bound) BoundPods() ([]*v1.Pod, bool)    { return nil, true }
func (b *bound) ResizeChanged()                  {}
func (b *bound) Event(kind, reason, text string) { b.events.Event(&v1.Pod{}, kind, reason, text) }

// allocated returns the allocations of a node with pods, each with a worker of its own.
func allocated(t *testing.T, capacity v1.ResourceList, pods ...*v1.Pod) (*Allocations, func(pod *v1.Pod), *record.FakeRecorder) {
	t.Helper()
	dir, events := t.TempDir(), record.NewFakeRecorder(100)
	a := NewAllocations(&bound{allocatable: capacity})
	add := func(pod *v1.Pod) {
		a.Add(&bound{events: events}, pod, filepath.Join(dir, string(pod.UID)), slog.New(slog.DiscardHandler))
	}
	for _, pod := range pods {
		add(pod)
	}
	return a, add, events
}

func asking(name, cpu string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: fixture.Size(fixture.Amounts("cpu="+cpu), nil)}}},
	}
}

func another(pod *v1.Pod, cpu string) *v1.Pod {
	out := pod.DeepCopy()
	out.Spec.Containers[0].Resources = fixture.Size(fixture.Amounts("cpu="+cpu), nil)
	out.Generation++
	return out
}

func cpuOf(pod *v1.Pod) string { return pod.Spec.Containers[0].Resources.Requests.Cpu().String() }

// What one pod releases is allocated to those that wait, in their order, and never twice.
func TestDeferredResizes(t *testing.T) {
	big, low, high, late := asking("big", "2"), asking("low", "500m"), asking("high", "500m"), asking("late", "500m")
	priority := int32(1000)
	high.Spec.Priority = &priority
	a, _, events := allocated(t, fixture.Amounts("cpu=4"), big, low, high, late)
	want := func(d Decision, cpu, reason string) {
		t.Helper()
		got := ""
		if d.Pending != nil {
			got = d.Pending.Reason
		}
		if cpuOf(d.Pod) != cpu || got != reason {
			t.Errorf("%s has %s, pending %q, want %s and %q", d.Pod.Name, cpuOf(d.Pod), got, cpu, reason)
		}
	}
	want(a.Allocate(another(low, "2")), "500m", "Deferred")
	want(a.Allocate(another(late, "2")), "500m", "Deferred")
	want(a.Allocate(another(high, "2")), "500m", "Deferred")
	want(a.Allocate(another(late, "5")), "500m", "Infeasible")
	want(a.Allocate(another(late, "2")), "500m", "Deferred")
	a.Remove(a.pods[big.UID].worker, big.UID)
	want(a.Allocate(another(high, "2")), "2", "")
	want(a.Allocate(another(low, "2")), "500m", "Deferred")
	want(a.Allocate(low), "500m", "") // the resize is taken back

	// What is released counts when the containers have released it.
	has := fixture.Size(fixture.Amounts("cpu=2"), nil)
	status := v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "c", AllocatedResources: fixture.Amounts("cpu=2"), Resources: &has}}}
	a.Reported(high.UID, &status)
	want(a.Allocate(another(another(high, "2"), "250m")), "250m", "")
	want(a.Allocate(another(late, "2")), "500m", "Deferred")
	status = v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "c", AllocatedResources: fixture.Amounts("cpu=250m"), Resources: &has}}}
	a.Reported(high.UID, &status)
	want(a.Allocate(another(late, "2")), "500m", "Deferred")
	has = fixture.Size(fixture.Amounts("cpu=250m"), nil)
	a.Reported(high.UID, &status)
	want(a.Allocate(another(late, "2")), "2", "")

	var reasons []string
	for len(events.Events) > 0 {
		reason, _, _ := strings.Cut(<-events.Events, ":")
		reasons = append(reasons, reason)
	}
	if got, want := strings.Join(reasons, "\n"), strings.TrimSuffix(strings.Repeat("Warning ResizeDeferred Pod resize Deferred\n", 3)+
		"Warning ResizeInfeasible Pod resize Infeasible\nWarning ResizeDeferred Pod resize Deferred\n"+
		strings.Repeat("Normal ResizeStarted Pod resize started\n", 3), "\n"); got != want {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
}

// A new kubelet reads what was allocated from the pod's directory or from its status.
func TestAllocationsAreKept(t *testing.T) {
	pod := asking("p", "1")
	a, add, _ := allocated(t, fixture.Amounts("cpu=4"), pod)
	d := a.Allocate(another(pod, "2"))
	if d.Progress == nil || d.Progress.ObservedGeneration != 2 {
		t.Errorf("progress %+v", d.Progress)
	}
	a.Started(pod.UID, "c", "id", &d.Pod.Spec.Containers[0].Resources)
	add(another(another(pod, "2"), "9"))
	d = a.Allocate(another(another(pod, "2"), "9"))
	if cpuOf(d.Pod) != "2" || d.Pending == nil || d.Began != 2 || d.Actual["c"].ID != "id" {
		t.Errorf("from the directory: %s, %+v", cpuOf(d.Pod), d)
	}

	other := asking("q", "9")
	other.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", AllocatedResources: fixture.Amounts("cpu=1"), Resources: &v1.ResourceRequirements{Requests: fixture.Amounts("cpu=1")}}}
	add(other)
	if d = a.Allocate(other); cpuOf(d.Pod) != "1" || d.Pending == nil || d.Began != 0 {
		t.Errorf("from the status: %s, %+v", cpuOf(d.Pod), d)
	}
}
