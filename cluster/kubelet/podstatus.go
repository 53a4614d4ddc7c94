package kubelet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// podStatus says what is seen of a pod as its status. Conditions that are not the
// kubelet's are kept as the pod has them.
func podStatus(s *sight, now time.Time) v1.PodStatus {
	pod := s.pod
	status := *pod.Status.DeepCopy()
	status.ObservedGeneration = pod.Generation
	status.HostIP, status.HostIPs = s.hostIP, []v1.HostIP{{IP: s.hostIP}}
	if s.podIP != "" {
		status.PodIP, status.PodIPs = s.podIP, []v1.PodIP{{IP: s.podIP}}
	}
	if status.StartTime == nil {
		t := metav1.NewTime(now.Truncate(time.Second))
		status.StartTime = &t
	}
	status.QOSClass = podspec.QOSClass(pod)
	status.InitContainerStatuses = s.statuses(pod.Spec.InitContainers, true)
	status.ContainerStatuses = s.statuses(pod.Spec.Containers, false)
	status.EphemeralContainerStatuses = s.ephemeralStatuses()
	if !podspec.IsTerminal(pod.Status.Phase) {
		status.Phase = phase(&pod.Spec, status.InitContainerStatuses, status.ContainerStatuses, s.final)
	}
	s.fail(&status)
	s.conditions(&status, now)
	s.showResize(&status, now)
	return status
}

func (s *sight) statuses(specs []v1.Container, init bool) []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range specs {
		status := s.containerStatus(&specs[i], init)
		s.showSize(&status, &specs[i])
		out = append(out, status)
	}
	return out
}

// containerStatus is what is seen of one container; what is not seen any more is
// taken from the last status.
func (s *sight) containerStatus(spec *v1.Container, init bool) v1.ContainerStatus {
	no := false
	status := v1.ContainerStatus{Name: spec.Name, Image: spec.Image, Started: &no}
	old := podspec.ContainerStatus(&s.pod.Status, spec.Name)
	waiting, waits := s.waiting[spec.Name]
	c := s.latest(spec.Name)
	if c == nil && s.final && old != nil {
		status = *old.DeepCopy()
		if old.State.Running != nil {
			status.State, status.Ready, status.Started = lost(old), false, &no
		}
		return status
	}
	if c == nil || c.State == cri.Created {
		if !waits {
			waiting = v1.ContainerStateWaiting{Reason: "ContainerCreating"}
			if len(s.pod.Spec.InitContainers) > 0 { // of which kubectl makes Init:0/2
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
	status.ContainerID, status.ImageID = "docker://"+c.ID, "docker://"+c.ImageID
	status.LastTerminationState = s.previous(c, old)
	if c.State == cri.Running {
		h := s.health(c.ID)
		status.State.Running = &v1.ContainerStateRunning{StartedAt: podspec.Seconds(c.StartedAt)}
		status.Started, status.Ready = &h.started, h.ready && h.started
		if init && !podspec.IsSidecar(spec) {
			status.Ready = false
		}
		return status
	}
	ended := s.terminated(c)
	if init && !podspec.IsSidecar(spec) {
		status.Ready = c.ExitCode == 0
	}
	if waits {
		status.State.Waiting, status.LastTerminationState = &waiting, v1.ContainerState{Terminated: ended}
	} else {
		status.State.Terminated = ended
	}
	return status
}

// previous is how the container before c ended.
func (s *sight) previous(c *cri.Container, old *v1.ContainerStatus) v1.ContainerState {
	var before *cri.Container
	list := s.containers[c.Name]
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

// lost is the last that is known of a container that has been removed.
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

func (s *sight) terminated(c *cri.Container) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: int32(c.ExitCode), ContainerID: "docker://" + c.ID, Message: s.message(*c),
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

// phase sums the containers up, as upstream: a container that waits for its
// restart counts as ended. final decides a pod that will not go on whatever its
// policy, as its node has stopped it.
func phase(spec *v1.PodSpec, inits, apps []v1.ContainerStatus, final bool) v1.PodPhase {
	pendingInit, sidecars := false, 0
	for i, st := range inits {
		sidecar := i < len(spec.InitContainers) && podspec.IsSidecar(&spec.InitContainers[i])
		switch t := st.State.Terminated; {
		case sidecar:
			pendingInit = pendingInit || st.Started == nil || !*st.Started && t == nil
			if st.State.Running != nil {
				sidecars++
			}
		case t == nil:
			pendingInit = true
		case t.ExitCode != 0:
			if final || i < len(spec.InitContainers) && !podspec.ShouldRestart(spec, &spec.InitContainers[i], t.ExitCode) {
				return v1.PodFailed
			}
			pendingInit = true
		}
	}
	running, waiting, stopped, succeeded, again := 0, 0, 0, 0, false
	for _, st := range apps {
		switch {
		case st.State.Running != nil:
			running++
		case st.State.Terminated != nil:
			stopped++
			if st.State.Terminated.ExitCode == 0 {
				succeeded++
			}
			again = again || podspec.ShouldRestart(spec, podspec.Named(spec.Containers, st.Name), st.State.Terminated.ExitCode)
		case st.LastTerminationState.Terminated != nil:
			stopped++
			again = again || spec.RestartPolicy != v1.RestartPolicyNever ||
				podspec.ShouldRestart(spec, podspec.Named(spec.Containers, st.Name), st.LastTerminationState.Terminated.ExitCode)
		default:
			waiting++
		}
	}
	started := running > 0 || stopped > 0
	switch {
	case sidecars > 0 && started && waiting == 0: // which end after the others
		return v1.PodRunning
	case final && running == 0 && started:
		if succeeded == len(apps) {
			return v1.PodSucceeded
		}
		return v1.PodFailed
	case pendingInit && !started, waiting > 0:
		return v1.PodPending
	case running > 0, again:
		return v1.PodRunning
	case succeeded == stopped:
		return v1.PodSucceeded
	}
	return v1.PodFailed
}

// conditions sets the kubelet's conditions.
func (s *sight) conditions(status *v1.PodStatus, now time.Time) {
	set := func(kind v1.PodConditionType, reason, message string) {
		value := v1.ConditionTrue
		if reason != "" {
			value = v1.ConditionFalse
		}
		if reason == "PodCompleted" && kind == v1.PodInitialized {
			value = v1.ConditionTrue
		}
		podspec.SetCondition(status, v1.PodCondition{
			Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: s.pod.Generation,
		}, now)
	}
	set(v1.PodScheduled, "", "") // it is here
	if s.sandbox != nil && s.sandbox.State == cri.Running && s.podIP != "" {
		set(v1.PodReadyToStartContainers, "", "")
	} else {
		// Upstream gives this condition no reason when it is false.
		podspec.SetCondition(status, v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: v1.ConditionFalse, ObservedGeneration: s.pod.Generation}, now)
	}

	var pending, unready []string
	for i, st := range status.InitContainerStatuses {
		ok := st.Ready
		if podspec.IsSidecar(&s.pod.Spec.InitContainers[i]) {
			ok = st.Started != nil && *st.Started
			if !st.Ready {
				unready = append(unready, st.Name)
			}
		}
		if !ok {
			pending = append(pending, st.Name)
		}
	}
	for _, st := range status.ContainerStatuses {
		if !st.Ready {
			unready = append(unready, st.Name)
		}
		if st.State.Running != nil || st.State.Terminated != nil {
			pending = nil
		}
	}
	switch {
	case status.Phase == v1.PodSucceeded:
		set(v1.PodInitialized, "PodCompleted", "")
	case len(pending) > 0:
		set(v1.PodInitialized, "ContainersNotInitialized", fmt.Sprintf("containers with incomplete status: [%s]", strings.Join(pending, " ")))
	default:
		set(v1.PodInitialized, "", "")
	}

	reason, message := "", ""
	switch {
	case status.Phase == v1.PodSucceeded:
		reason = "PodCompleted"
	case status.Phase == v1.PodFailed:
		reason = "PodFailed"
	case len(unready) > 0:
		reason, message = "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	set(v1.ContainersReady, reason, message)
	if reason == "" {
		if closed := closedGates(s.pod.Spec.ReadinessGates, status.Conditions); closed != "" {
			reason, message = "ReadinessGatesNotReady", closed
		}
	}
	set(v1.PodReady, reason, message)
}

// closedGates names the readiness gates whose condition is not true.
func closedGates(gates []v1.PodReadinessGate, have []v1.PodCondition) string {
	var out []string
	for _, g := range gates {
		i := slices.IndexFunc(have, func(c v1.PodCondition) bool { return c.Type == g.ConditionType })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", g.ConditionType))
		case have[i].Status != v1.ConditionTrue:
			out = append(out, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %s", g.ConditionType, have[i].Status))
		}
	}
	return strings.Join(out, ", ")
}
