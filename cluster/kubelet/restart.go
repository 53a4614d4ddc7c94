package kubelet

import (
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// restarts reports whether a terminated container restarts.
func restarts(pod *v1.Pod, c *cri.Container) bool {
	return podspec.ShouldRestart(&pod.Spec, podspec.Container(pod, c.Name), int32(c.ExitCode))
}
