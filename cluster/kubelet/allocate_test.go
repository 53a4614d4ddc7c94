package kubelet

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/fixture"
	"wheelhouse/cluster/kubelet/resize"
)

// observedSize is a pod with one running container that has an actual size, and is to get
// another.
func observedSize(has, asked v1.ResourceRequirements, policies ...v1.ContainerResizePolicy) *observed {
	s := seen(v1.RestartPolicyOnFailure, cri.Container{State: cri.Running, Resources: containerspec.Resources(&v1.Container{Resources: has}, 0)})
	s.Pod.Spec.Containers[0].Resources, s.Pod.Spec.Containers[0].ResizePolicy = asked, policies
	s.size.Actual = map[string]resize.ActualSize{"a": {ID: "id-a", Size: has}}
	return s
}

func TestShownSize(t *testing.T) {
	for _, c := range []struct {
		name             string
		has, given, want v1.ResourceRequirements
	}{
		{name: "nothing"},
		{
			"as given", fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")), fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")),
			fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")),
		},
		{
			"not yet as given", fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")), fixture.Size(fixture.Amounts("cpu=1", "memory=1Gi"), fixture.Amounts("cpu=2", "memory=2Gi")),
			fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")),
		},
		{"less than the kernel can do", fixture.Size(fixture.Amounts("cpu=2m"), fixture.Amounts("cpu=10m")), fixture.Size(fixture.Amounts("cpu=1m"), fixture.Amounts("cpu=5m")), fixture.Size(fixture.Amounts("cpu=1m"), fixture.Amounts("cpu=5m"))},
		{
			"a limit that is not there yet", fixture.Size(fixture.Amounts("cpu=20m"), nil), fixture.Size(fixture.Amounts("cpu=20m", "memory=1Mi"), fixture.Amounts("cpu=30m", "memory=9Mi")),
			fixture.Size(fixture.Amounts("cpu=20m"), nil),
		},
		{"what cannot change", fixture.Size(fixture.Amounts("cpu=20m"), nil), fixture.Size(fixture.Amounts("cpu=30m", "ephemeral-storage=1Gi"), nil), fixture.Size(fixture.Amounts("cpu=20m", "ephemeral-storage=1Gi"), nil)},
	} {
		s := observedSize(c.has, c.given)
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

// A policy ends a container, at once and without a backoff; else it is changed as it runs.
func TestResizePolicy(t *testing.T) {
	policy := func(name v1.ResourceName) v1.ContainerResizePolicy {
		return v1.ContainerResizePolicy{ResourceName: name, RestartPolicy: v1.RestartContainer}
	}
	has := fixture.Size(fixture.Amounts("cpu=20m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi"))
	for _, c := range []struct {
		name     string
		asked    v1.ResourceRequirements
		policies []v1.ContainerResizePolicy
		restart  bool
	}{
		{"no policy", fixture.Size(fixture.Amounts("cpu=25m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")), nil, false},
		{"cpu's policy, cpu request", fixture.Size(fixture.Amounts("cpu=25m", "memory=35Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")), []v1.ContainerResizePolicy{policy("cpu")}, true},
		{"cpu's policy, memory", fixture.Size(fixture.Amounts("cpu=20m", "memory=36Mi"), fixture.Amounts("cpu=30m", "memory=46Mi")), []v1.ContainerResizePolicy{policy("cpu")}, false},
		{"memory's policy, memory request", fixture.Size(fixture.Amounts("cpu=20m", "memory=36Mi"), fixture.Amounts("cpu=30m", "memory=45Mi")), []v1.ContainerResizePolicy{policy("memory")}, true},
	} {
		s := observedSize(has, c.asked, c.policies...)
		next := plan(s, noon)
		if got := len(next.kill) == 1; got != c.restart {
			t.Errorf("%s: kills %+v", c.name, next.kill)
		}
		if len(s.size.Changes(&s.Observed)) != 1 {
			t.Errorf("%s: changes %+v", c.name, s.size.Changes(&s.Observed))
		}
		if !c.restart {
			continue
		}
		if next.kill[0].message != "Container a resize requires restart" {
			t.Errorf("%s: %q", c.name, next.kill[0].message)
		}
		ended := &s.Containers["a"][0]
		ended.State, ended.ExitCode, ended.Finished = cri.Exited, 0, noon // which OnFailure would not restart
		s.backoff["a"] = &backoff{wait: backoffFirst, last: noon.Add(-time.Second)}
		if next = plan(s, noon); len(next.start) != 1 || next.finished || len(next.waiting) != 0 {
			t.Errorf("%s: then %+v, want it started", c.name, next)
		}
	}
}

func TestResizeConditions(t *testing.T) {
	s := observedSize(fixture.Size(fixture.Amounts("cpu=1"), nil), fixture.Size(fixture.Amounts("cpu=1"), nil))
	s.size.Pending = &v1.PodCondition{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: v1.PodReasonDeferred, Message: "no room"}
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
	s.size.Pending, s.size.Progress = nil, &v1.PodCondition{Type: v1.PodResizeInProgress, Status: v1.ConditionTrue}
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
