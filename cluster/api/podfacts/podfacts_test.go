package podfacts_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podfacts"
)

func TestTerminalAndActive(t *testing.T) {
	deleted := metav1.Now()
	for _, c := range []struct {
		phase            v1.PodPhase
		deleted          *metav1.Time
		terminal, active bool
	}{
		{v1.PodPending, nil, false, true},
		{v1.PodRunning, nil, false, true},
		{v1.PodRunning, &deleted, false, false},
		{v1.PodSucceeded, nil, true, false},
		{v1.PodFailed, &deleted, true, false},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: c.deleted}, Status: v1.PodStatus{Phase: c.phase}}
		if podfacts.Terminal(p) != c.terminal || podfacts.Active(p) != c.active {
			t.Errorf("%s, deleted %v: terminal %v, active %v", c.phase, c.deleted != nil, podfacts.Terminal(p), podfacts.Active(p))
		}
	}
}

func TestAvailable(t *testing.T) {
	now := time.Now()
	pod := func(status v1.ConditionStatus, ago time.Duration) *v1.Pod {
		return &v1.Pod{Status: v1.PodStatus{Conditions: []v1.PodCondition{
			{Type: v1.PodReady, Status: status, LastTransitionTime: metav1.NewTime(now.Add(-ago))},
		}}}
	}
	for _, c := range []struct {
		name       string
		pod        *v1.Pod
		minSeconds int32
		want       bool
	}{
		{"no condition", &v1.Pod{}, 0, false},
		{"ready, no minimum", pod(v1.ConditionTrue, 0), 0, true},
		{"ready for too short", pod(v1.ConditionTrue, 5*time.Second), 10, false},
		{"ready for as long", pod(v1.ConditionTrue, 10*time.Second), 10, true},
		{"not ready", pod(v1.ConditionFalse, time.Hour), 10, false},
		{"unknown", pod(v1.ConditionUnknown, time.Hour), 0, false},
	} {
		if got := podfacts.Available(c.pod, c.minSeconds, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestQOSClassAndPriority(t *testing.T) {
	sized := func(request, limit string) v1.ResourceRequirements {
		both := func(q string) v1.ResourceList {
			return v1.ResourceList{v1.ResourceCPU: resource.MustParse(q), v1.ResourceMemory: resource.MustParse(q)}
		}
		r := v1.ResourceRequirements{}
		if request != "" {
			r.Requests = both(request)
		}
		if limit != "" {
			r.Limits = both(limit)
		}
		return r
	}
	for _, c := range []struct {
		pod, container v1.ResourceRequirements
		want           v1.PodQOSClass
	}{
		{want: v1.PodQOSBestEffort},
		{container: sized("1", "1"), want: v1.PodQOSGuaranteed},
		{container: sized("", "1"), want: v1.PodQOSGuaranteed},
		{container: sized("1", "2"), want: v1.PodQOSBurstable},
		{container: sized("1", ""), want: v1.PodQOSBurstable},
		{pod: sized("2", "2"), container: sized("1", ""), want: v1.PodQOSGuaranteed},
	} {
		p := &v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{Resources: c.container}}}}
		if len(c.pod.Limits) > 0 {
			p.Spec.Resources = &c.pod
		}
		if got := podfacts.QOSClass(p); got != c.want {
			t.Errorf("pod %v, container %v: %s, want %s", c.pod, c.container, got, c.want)
		}
		p.Status.QOSClass = v1.PodQOSBurstable
		if got := podfacts.QOSClass(p); got != v1.PodQOSBurstable {
			t.Errorf("the status has Burstable: %s", got)
		}
	}
	critical := int32(podfacts.SystemCriticalPriority)
	p := &v1.Pod{Spec: v1.PodSpec{Priority: &critical}}
	if !podfacts.Critical(p) || podfacts.Critical(&v1.Pod{}) {
		t.Error("a pod is critical from the system's priority on")
	}
}
