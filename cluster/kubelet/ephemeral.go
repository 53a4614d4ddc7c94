package kubelet

import (
	"fmt"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// Ephemeral containers are added to a running pod to debug it (kubectl debug). They
// are started once and never restarted, and nothing of the pod waits for them.

// planEphemeral starts those that have never been started.
func (s *observed) planEphemeral(st *step) {
	for i := range s.Pod.Spec.EphemeralContainers {
		e := &s.Pod.Spec.EphemeralContainers[i]
		if c := s.Latest(e.Name); c != nil && c.State != cri.Created {
			continue
		}
		if old := podspec.ContainerStatus(&s.Pod.Status, e.Name); old != nil && old.ContainerID != "" {
			continue // it has been, and was removed
		}
		st.start = append(st.start, containerStart{container: podspec.AsContainer(e), attempt: s.attempt(e.Name)})
	}
}

// processesOf is the container whose processes an ephemeral one shall see, if any.
func (s *observed) processesOf(name string) (string, error) {
	e := podspec.EphemeralContainer(s.Pod, name)
	if e == nil || e.TargetContainerName == "" {
		return "", nil
	}
	c := s.Current(e.TargetContainerName)
	if c == nil || c.State != cri.Running {
		return "", fmt.Errorf("unable to find target container %s: it is not running", e.TargetContainerName)
	}
	return c.ID, nil
}
