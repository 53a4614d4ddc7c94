// Package podtest makes the pods of controllers' tests. It is for tests alone.
package podtest

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Now is the time in tests that have a clock of their own.
var Now = time.Unix(1_000_000, 0)

// Pod returns a pod on the node "n-" + name that runs since an hour and is ready since a minute, after edits of it.
func Pod(name string, edit ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"},
			CreationTimestamp: metav1.NewTime(Now.Add(-time.Hour)),
		},
		Spec:   v1.PodSpec{NodeName: "n-" + name},
		Status: v1.PodStatus{Phase: v1.PodRunning},
	}
	ReadyFor(time.Minute)(p)
	for _, e := range edit {
		e(p)
	}
	return p
}

// ReadyFor returns the edit that makes a pod ready since d.
func ReadyFor(d time.Duration) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(Now.Add(-d))}}
	}
}

// NotReady is the edit that makes a pod not ready.
func NotReady(p *v1.Pod) { p.Status.Conditions = nil }
