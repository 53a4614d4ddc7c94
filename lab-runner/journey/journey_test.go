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

// What the components have recorded stands in its place, and an answer without a journal adds nothing.
func TestJournal(t *testing.T) {
	answer := `{"kind":"JournalEntries","items":[
		{"time":"2026-01-02T03:04:05.1Z","component":"kube-apiserver","verb":"create","user":"ann","client":"kubectl/v1.36 (linux)","resourceVersion":7,"changedBy":["Priority"],"tookMilliseconds":2.5},
		{"time":"2026-01-02T03:04:05.2Z","component":"kube-scheduler","chosen":"n1","nodes":[{"name":"n2","reasons":["Insufficient cpu"]},{"name":"n1","score":90},{"name":"n3","score":0}]},
		{"time":"2026-01-02T03:04:05.3Z","component":"kube-scheduler","nodes":[{"name":"n2","reasons":["Insufficient cpu"]}]},
		{"time":"2026-01-02T03:04:05.4Z","component":"kube-apiserver","verb":"patch","subresource":"status","user":"bob","refused":"no\u001b[2J"}]}`
	pod := Object{TypeMeta: metav1.TypeMeta{Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: at(0)}, Journal: readJournal([]byte(answer))}
	entries := Tell([]Object{pod}, nil)
	var out bytes.Buffer
	if err := print(&out, entries, false); err != nil {
		t.Fatal(err)
	}
	rest := out.String()
	for _, want := range []string{
		"created, uid", "03:04:05.100", "create by user ann with kubectl/v1.36, stored as resourceVersion 7 after 2.5 ms; changed by admission: Priority [kube-apiserver]",
		"node n1 chosen (n2 not: Insufficient cpu; n1 score 90; n3 score 0) [kube-scheduler]", "no node is feasible (n2 not: Insufficient cpu)",
		"patch of status by user bob was refused: no",
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
	out.Reset()
	if err := print(&out, entries, true); err != nil || !strings.Contains(out.String(), `"chosen": "n1"`) {
		t.Errorf("%v: %s", err, out.String())
	}
	if got := readJournal([]byte(`{"kind":"Pod","items":[{"verb":"create"}]}`)); got != nil {
		t.Errorf("of a server without a journal: %v", got)
	}
}
