// Package podspec has what more than one room of the kubelet reads from a pod's spec and
// status: which containers it has, how long its grace period is, what it
// requests, whether a container restarts. Its functions are pure and never change a pod,
// except SetCondition, which changes the status that it is given.
package podspec

import v1 "k8s.io/api/core/v1"

// GracePeriod is in seconds: that of the deletion, else that of the spec.
func GracePeriod(pod *v1.Pod) int64 {
	if pod.DeletionGracePeriodSeconds != nil {
		return *pod.DeletionGracePeriodSeconds
	}
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		return *pod.Spec.TerminationGracePeriodSeconds
	}
	return 30
}

// AsContainer is an ephemeral container in the form of the other containers.
func AsContainer(e *v1.EphemeralContainer) *v1.Container {
	c := v1.Container(e.EphemeralContainerCommon)
	return &c
}

// EphemeralContainer returns the ephemeral container of that name, nil if there is none.
func EphemeralContainer(pod *v1.Pod, name string) *v1.EphemeralContainer {
	for i := range pod.Spec.EphemeralContainers {
		if e := &pod.Spec.EphemeralContainers[i]; e.Name == name {
			return e
		}
	}
	return nil
}
