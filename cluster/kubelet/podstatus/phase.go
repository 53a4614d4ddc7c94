package podstatus

import (
	"slices"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

// phase sums the containers up, as upstream: a container that waits for its
// restart counts as terminated. final decides a pod that does not go on whatever its
// policy, as its node has stopped it.
func phase(spec *v1.PodSpec, inits, apps []v1.ContainerStatus, final bool) v1.PodPhase {
	pendingInit, sidecars := false, 0
	for i, st := range inits {
		sidecar := i < len(spec.InitContainers) && podfacts.Sidecar(&spec.InitContainers[i])
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

// anyRunning reports whether a container of any kind runs. Until none does, no phase is terminal, as upstream: who sees
// a terminal pod gives its address and its resources to others.
func anyRunning(status *v1.PodStatus) bool {
	for _, list := range [][]v1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses} {
		if slices.ContainsFunc(list, func(c v1.ContainerStatus) bool { return c.State.Running != nil }) {
			return true
		}
	}
	return false
}

// activePhase is the phase of a pod of which something runs: Running once one of its containers was started.
func activePhase(apps []v1.ContainerStatus) v1.PodPhase {
	if slices.ContainsFunc(apps, func(c v1.ContainerStatus) bool {
		return c.State.Waiting == nil || c.LastTerminationState.Terminated != nil
	}) {
		return v1.PodRunning
	}
	return v1.PodPending
}
