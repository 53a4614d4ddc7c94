package kubelet

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
	v1 "k8s.io/api/core/v1"
)

// Each end of a container is counted once, also one that was seen only when the next
// container ran already.
func TestEndsAreCounted(t *testing.T) {
	ended := func(id string, code int32) v1.ContainerState {
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{ContainerID: id, ExitCode: code, Reason: "Error"}}
	}
	running := v1.ContainerState{Running: &v1.ContainerStateRunning{}}
	status := func(state, last v1.ContainerState) *v1.PodStatus {
		return &v1.PodStatus{
			ContainerStatuses:     []v1.ContainerStatus{{Name: "main", State: state, LastTerminationState: last}},
			InitContainerStatuses: []v1.ContainerStatus{{Name: "init", State: ended("i", 0)}},
		}
	}
	ends := newTerminations()
	var before v1.PodStatus
	for _, now := range []*v1.PodStatus{
		status(running, v1.ContainerState{}),
		status(ended("a", 139), v1.ContainerState{}),
		status(ended("a", 139), v1.ContainerState{}),
		status(v1.ContainerState{Waiting: &v1.ContainerStateWaiting{}}, ended("a", 139)),
		status(running, ended("b", 139)),
		status(ended("c", 2), ended("b", 139)),
	} {
		countTerminations(ends, &before, now)
		before = *now
	}
	for _, c := range []struct {
		labels []string
		want   float64
	}{
		{[]string{"container", "139", "Error"}, 2},
		{[]string{"container", "2", "Error"}, 1},
		{[]string{"init_container", "0", "Error"}, 1},
	} {
		var m dto.Metric
		if err := ends.WithLabelValues(c.labels...).Write(&m); err != nil {
			t.Fatal(err)
		}
		if got := m.GetCounter().GetValue(); got != c.want {
			t.Errorf("%v: %v, want %v", c.labels, got, c.want)
		}
	}
}
