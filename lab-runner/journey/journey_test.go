package journey

import (
	"bytes"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) metav1.Time {
	return metav1.NewTime(began.Add(time.Duration(seconds) * time.Second))
}

// The records of a pod and its owner come in the order of time, each with its source.
func TestTell(t *testing.T) {
	wrote := at(1)
	pod := Object{TypeMeta: metav1.TypeMeta{Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "web-1", CreationTimestamp: at(0), ManagedFields: []metav1.ManagedFieldsEntry{
		{Manager: "kubelet", Operation: "Update", Subresource: "status", Time: &wrote, FieldsV1: &metav1.FieldsV1{}},
	}}}
	pod.ManagedFields[0].FieldsV1.SetRawBytes([]byte(`{"f:status":{"f:phase":{},"f:podIP":{}}}`))
	pod.Status.Conditions = []Condition{{Type: "Ready", Status: "True", LastTransitionTime: at(4)}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "web", RestartCount: 1, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(4)}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: at(2), FinishedAt: at(3), ExitCode: 7, Reason: "Error"}},
	}}
	event := corev1.Event{
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "web-1"}, Reason: "BackOff", Message: "restarting\x1b[2J", Count: 3,
		FirstTimestamp: at(3), LastTimestamp: at(9), Source: corev1.EventSource{Component: "kubelet"},
	}
	entries := Tell([]Object{pod}, []corev1.Event{event})
	var out bytes.Buffer
	if err := print(&out, entries, false); err != nil {
		t.Fatal(err)
	}
	rest := out.String()
	for _, want := range []string{
		"pod/web-1\n", "created", "last Update of status: status.phase, status.podIP [kubelet]", "container web started", "ended with exit code 7 (Error)",
		"BackOff: restarting", "(3 times until 03:04:14) [kubelet]", "condition Ready became True", "it has been restarted 1 times",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("%q is missing, or not in its place:\n%s", want, out.String())
		}
		rest = after
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a terminal would obey this: %q", out.String())
	}
}
