package podstatus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

type healthy struct{}

func (healthy) Health(string) Health { return Health{Started: true, Ready: true} }

// The messages of all containers of a pod share 12 KiB, also those of terminations before the
// last one, and what the API server has of them already.
func TestMessagesShareABudget(t *testing.T) {
	for _, c := range []struct{ containers, want int }{{1, 4096}, {3, 4096}, {6, 2048}, {7, 1755}} {
		pod := &v1.Pod{}
		s := &Observed{Pod: pod, Results: healthy{}, Containers: map[string][]cri.Container{}, Messages: map[string]string{}}
		for i := range c.containers {
			name := fmt.Sprint("c", i)
			spec := v1.Container{Name: name}
			switch i {
			case 1:
				pod.Spec.InitContainers = append(pod.Spec.InitContainers, spec)
			case 2:
				pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, v1.EphemeralContainer{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: name}})
			default:
				pod.Spec.Containers = append(pod.Spec.Containers, spec)
			}
			for attempt := range 2 {
				id := fmt.Sprint(name, "-", attempt)
				s.Containers[name] = append(s.Containers[name], cri.Container{ID: id, Name: name, State: cri.Exited, Attempt: attempt, ExitCode: 1})
				s.Messages[id] = strings.Repeat("k", 4096)
			}
		}
		check := func(status v1.PodStatus) {
			t.Helper()
			n := 0
			for _, list := range [][]v1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
				for _, have := range list {
					n++
					now, last := have.State.Terminated, have.LastTerminationState.Terminated
					if now == nil || last == nil || len(now.Message) != c.want || len(last.Message) != c.want {
						t.Errorf("%d containers: %s has messages of %d and %d bytes, want %d", c.containers, have.Name, len(now.Message), len(last.Message), c.want)
					}
				}
			}
			if n != c.containers {
				t.Errorf("%d statuses, want %d", n, c.containers)
			}
		}
		status := Compute(s, time.Unix(0, 0))
		check(status)
		long := status.DeepCopy() // as a kubelet that did not share has left it
		for i := range long.ContainerStatuses {
			long.ContainerStatuses[i].State.Terminated.Message = strings.Repeat("k", 4096)
		}
		pod.Status, s.Containers, s.Final = *long, map[string][]cri.Container{}, true
		check(Compute(s, time.Unix(0, 0)))
		if len(long.ContainerStatuses[0].State.Terminated.Message) != 4096 {
			t.Error("the status before has been changed")
		}
	}
}

// A message is cut between characters.
func TestMessagesAreCutBetweenCharacters(t *testing.T) {
	status := v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Message: strings.Repeat("ü", 2000)}}}}}
	shareMessages(&status, 5) // 2457 bytes each
	if got := status.ContainerStatuses[0].State.Terminated.Message; got != strings.Repeat("ü", 1228) {
		t.Errorf("%d bytes", len(got))
	}
}
