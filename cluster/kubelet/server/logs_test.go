package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// onePod is a node with one pod, each of whose containers has its id as its log.
type onePod struct {
	Containers
	Streams
	pod  v1.Pod
	list []cri.Container
}

func (o *onePod) Pods() []*v1.Pod                    { return []*v1.Pod{&o.pod} }
func (o *onePod) Pod(string, string, string) *v1.Pod { return &o.pod }

func (o *onePod) List(context.Context, string) ([]cri.Container, error) { return o.list, nil }

func (o *onePod) Logs(_ context.Context, id string, _ cri.LogOptions, stdout, _ io.Writer) error {
	_, err := io.WriteString(stdout, id)
	return err
}

// The previous log is that of the container whose end the status has as the last state.
func TestPreviousLog(t *testing.T) {
	waiting := v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	running := v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	ended := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	life := func(attempt int, state cri.State) cri.Container {
		return cri.Container{ID: "life " + string(rune('1'+attempt)), Name: "main", Attempt: attempt, State: state}
	}
	for name, c := range map[string]struct {
		state             v1.ContainerState
		list              []cri.Container
		previous, present string // empty: there is none
	}{
		"backoff after the first life":     {waiting, []cri.Container{life(0, cri.Exited)}, "life 1", "life 1"},
		"backoff after the third":          {waiting, []cri.Container{life(1, cri.Exited), life(2, cri.Exited)}, "life 3", "life 3"},
		"the next one is created":          {waiting, []cri.Container{life(1, cri.Exited), life(2, cri.Exited), life(3, cri.Created)}, "life 3", "life 3"},
		"it runs before the status has it": {waiting, []cri.Container{life(1, cri.Exited), life(2, cri.Running)}, "life 2", "life 3"},
		"running":                          {running, []cri.Container{life(1, cri.Exited), life(2, cri.Running)}, "life 2", "life 3"},
		"running for the first time":       {running, []cri.Container{life(0, cri.Running)}, "", "life 1"},
		"terminated for good":              {ended, []cri.Container{life(0, cri.Exited), life(1, cri.Exited)}, "life 1", "life 2"},
		"terminated at once and for good":  {ended, []cri.Container{life(0, cri.Exited)}, "", "life 1"},
		"never started":                    {waiting, nil, "", ""},
	} {
		node := &onePod{list: c.list, pod: v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "loop", Namespace: "default"},
			Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "main"}}},
			Status:     v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{Name: "main", State: c.state}}},
		}}
		s := New(Config{Pods: node, Containers: node, Streams: node})
		for query, want := range map[string]string{"": c.present, "?previous=true": c.previous} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/containerLogs/default/loop/main"+query, nil)
			r.SetPathValue("container", "main")
			s.serveLogs(w, r)
			if ok := w.Code == http.StatusOK; ok != (want != "") || ok && w.Body.String() != want {
				t.Errorf("%s: logs%s: %d %q, want %q", name, query, w.Code, w.Body, want)
			}
		}
	}
}
