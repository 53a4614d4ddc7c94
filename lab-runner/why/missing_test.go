package why_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/why"
)

// The garbage collector ends the pod of a node that does not exist. Until the pod is gone, which a finalizer delays, its node
// is the cause, and not the deletion that followed.
func TestPodOfAMissingNodeWasCollected(t *testing.T) {
	now := metav1.Now()
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "minion-1"}}
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Finalizers: []string{"example.com/keep"}, DeletionTimestamp: &now},
		Spec:       corev1.PodSpec{NodeName: "minion-l"},
		Status: corev1.PodStatus{Phase: corev1.PodFailed, Conditions: []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC", Message: "PodGC: node no longer exists",
		}}},
	}
	f := &why.Facts{Taken: now.Time, Namespace: "default", Around: why.Around{Nodes: []corev1.Node{node}}, Workloads: why.Workloads{Pods: []corev1.Pod{pod}}}
	for _, there := range []bool{false, true} {
		if there {
			f.Nodes[0].Name = "minion-l" // it was missing, and is there again
		}
		last := why.Explain(f, why.Target{Kind: "Pod", Name: "web"}).Last()
		text := last.Text + strings.Join(last.Details, "\n")
		if last.Name != "node" || last.Reason != "NodeMissing" || !strings.Contains(text, "garbage collector") || !strings.Contains(text, "example.com/keep") {
			t.Errorf("node there: %v: hop %s, reason %s: %s", there, last.Name, last.Reason, text)
		}
		if !there && !strings.Contains(text, "there is a node minion-1") {
			t.Error(text)
		}
	}
}

// Of a pod that is gone, its last event is shown: it may say why.
func TestGonePodHasItsLastEvent(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	event := func(reason string, after time.Duration) corev1.Event {
		return corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web"}, Reason: reason, Message: "message of " + reason,
			LastTimestamp: metav1.NewTime(at.Add(after)),
		}
	}
	f := &why.Facts{Taken: at, Namespace: "default", Workloads: why.Workloads{Events: []corev1.Event{event("Started", 0), event("TaintManagerEviction", time.Second)}}}
	last := why.Explain(f, why.Target{Kind: "Pod", Name: "web"}).Last()
	if text := strings.Join(last.Details, "\n"); last.Reason != "NotFound" || !strings.Contains(text, "03:04:06 UTC: TaintManagerEviction: message of") {
		t.Errorf("%s: %s", last.Reason, text)
	}
}
