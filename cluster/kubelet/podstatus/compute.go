package podstatus

import (
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// Compute is the status of a pod from what is observed of it. Conditions that the kubelet does
// not own are kept.
func Compute(s *Observed, now time.Time) v1.PodStatus {
	pod := s.Pod
	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	status.HostIP, status.HostIPs = s.HostIP, []v1.HostIP{{IP: s.HostIP}}
	if s.PodIP != "" {
		status.PodIP, status.PodIPs = s.PodIP, []v1.PodIP{{IP: s.PodIP}}
	}
	if status.StartTime == nil {
		t := metav1.NewTime(now.Truncate(time.Second))
		status.StartTime = &t
	}
	status.QOSClass = podfacts.QOSClass(pod)
	status.InitContainerStatuses = s.statuses(pod.Spec.InitContainers, true)
	status.ContainerStatuses = s.statuses(pod.Spec.Containers, false)
	status.EphemeralContainerStatuses = s.ephemeralStatuses()
	shareMessages(&status, len(pod.Spec.InitContainers)+len(pod.Spec.Containers)+len(pod.Spec.EphemeralContainers))
	if !podfacts.Terminal(pod) {
		status.Phase = phase(&pod.Spec, status.InitContainerStatuses, status.ContainerStatuses, s.Final)
	}
	s.showFailure(&status)
	if podfacts.TerminalPhase(status.Phase) && !podfacts.Terminal(pod) && anyRunning(&status) {
		status.Phase, status.Reason, status.Message = activePhase(status.ContainerStatuses), "", ""
	}
	s.conditions(&status, now)
	return status
}

// maxMessages is how many bytes the termination messages of a pod may have together, as upstream.
const maxMessages = 12 << 10

// shareMessages cuts the termination messages of a pod's containers: each has the same share.
func shareMessages(status *v1.PodStatus, containers int) {
	share := maxMessages / max(1, containers)
	for _, list := range [][]v1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		for i := range list {
			for _, state := range []*v1.ContainerState{&list[i].State, &list[i].LastTerminationState} {
				if t := state.Terminated; t != nil && len(t.Message) > share {
					cut := *t // the pod's status may have it, too
					cut.Message = strings.ToValidUTF8(t.Message[:share], "")
					state.Terminated = &cut
				}
			}
		}
	}
}

func (s *Observed) statuses(specs []v1.Container, init bool) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range specs {
		out = append(out, s.containerStatus(&specs[i], init))
	}
	return out
}

// containerStatus is the status of one container; what is not observed any more is taken from
// the last status.
func (s *Observed) containerStatus(spec *v1.Container, init bool) v1.ContainerStatus {
	no := false
	status := v1.ContainerStatus{Name: spec.Name, Image: spec.Image, Started: &no}
	old := podspec.ContainerStatus(&s.Pod.Status, spec.Name)
	waiting, waits := s.Waiting[spec.Name]
	c := s.Latest(spec.Name)
	if c == nil && s.Final && old != nil {
		status = *old.DeepCopy()
		if old.State.Running != nil {
			status.State, status.Ready, status.Started = lost(old), false, &no
		}
		return status
	}
	if c == nil || c.State == cri.Created {
		if !waits {
			waiting = v1.ContainerStateWaiting{Reason: "ContainerCreating"}
			if len(s.Pod.Spec.InitContainers) > 0 { // of which kubectl makes Init:0/2
				waiting.Reason = "PodInitializing"
			}
		}
		status.State.Waiting = &waiting
		if c == nil && old != nil {
			status.RestartCount, status.LastTerminationState = old.RestartCount, lost(old)
		}
		return status
	}
	status.RestartCount = int32(c.Attempt)
	status.ContainerID, status.ImageID = c.StatusID(), c.StatusImageID()
	status.LastTerminationState = s.previous(c, old)
	if c.State == cri.Running {
		h := s.Results.Health(c.ID)
		status.State.Running = &v1.ContainerStateRunning{StartedAt: podspec.Seconds(c.StartedAt)}
		status.Started, status.Ready = &h.Started, h.Ready && h.Started
		if init && !podfacts.Sidecar(spec) {
			status.Ready = false
		}
		return status
	}
	ended := s.terminated(c)
	if init && !podfacts.Sidecar(spec) {
		status.Ready = c.ExitCode == 0
	}
	if waits {
		status.State.Waiting, status.LastTerminationState = &waiting, v1.ContainerState{Terminated: ended}
	} else {
		status.State.Terminated = ended
	}
	return status
}

// previous is how the container before c terminated.
func (s *Observed) previous(c *cri.Container, old *v1.ContainerStatus) v1.ContainerState {
	var before *cri.Container
	list := s.Containers[c.Name]
	for i := range list {
		if p := &list[i]; p.Attempt < c.Attempt && p.State == cri.Exited && (before == nil || p.Attempt > before.Attempt) {
			before = p
		}
	}
	if before != nil {
		return v1.ContainerState{Terminated: s.terminated(before)}
	}
	if old == nil {
		return v1.ContainerState{}
	}
	if int(old.RestartCount) == c.Attempt {
		return old.LastTerminationState
	}
	return lost(old)
}

// lost is the last state of a container that has been removed.
func lost(old *v1.ContainerStatus) v1.ContainerState {
	switch {
	case old.State.Terminated != nil:
		return old.State
	case old.State.Running != nil:
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: 137, Reason: "ContainerStatusUnknown", ContainerID: old.ContainerID,
			Message:   "The container could not be located when the pod was looked at",
			StartedAt: old.State.Running.StartedAt,
		}}
	}
	return old.LastTerminationState
}

func (s *Observed) terminated(c *cri.Container) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: int32(c.ExitCode), ContainerID: c.StatusID(), Message: s.Messages[c.ID],
		StartedAt: podspec.Seconds(c.StartedAt), FinishedAt: podspec.Seconds(c.Finished),
	}
	switch {
	case c.OOMKilled:
		t.Reason = "OOMKilled"
	case c.StartedAt.IsZero() && c.Error != "":
		t.Reason = "ContainerCannotRun"
	case c.ExitCode == 0:
		t.Reason = "Completed"
	default:
		t.Reason = "Error"
	}
	return t
}

func (s *Observed) ephemeralStatuses() []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range s.Pod.Spec.EphemeralContainers {
		status := s.containerStatus(podspec.AsContainer(&s.Pod.Spec.EphemeralContainers[i]), true)
		status.Ready, status.Started = false, nil // they have neither
		out = append(out, status)
	}
	return out
}
