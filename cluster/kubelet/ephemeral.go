package kubelet

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// Ephemeral containers are added to a running pod to look at it (kubectl debug). They
// are started once, never again, and nothing of the pod waits for them.

// planEphemeral starts those that have never been started.
func (s *sight) planEphemeral(st *step) {
	for i := range s.pod.Spec.EphemeralContainers {
		e := &s.pod.Spec.EphemeralContainers[i]
		if c := s.latest(e.Name); c != nil && c.State != cri.Created {
			continue
		}
		if old := podspec.ContainerStatus(&s.pod.Status, e.Name); old != nil && old.ContainerID != "" {
			continue // it has been, and somebody has removed it
		}
		st.start = append(st.start, starting{container: podspec.AsContainer(e), attempt: s.attempt(e.Name)})
	}
}

// processesOf is the container whose processes an ephemeral one shall see, if any.
func (s *sight) processesOf(name string) (string, error) {
	e := podspec.EphemeralContainer(s.pod, name)
	if e == nil || e.TargetContainerName == "" {
		return "", nil
	}
	c := s.current(e.TargetContainerName)
	if c == nil || c.State != cri.Running {
		return "", fmt.Errorf("unable to find target container %s: it is not running", e.TargetContainerName)
	}
	return c.ID, nil
}

func (s *sight) ephemeralStatuses() []v1.ContainerStatus {
	var out []v1.ContainerStatus
	for i := range s.pod.Spec.EphemeralContainers {
		status := s.containerStatus(podspec.AsContainer(&s.pod.Spec.EphemeralContainers[i]), true)
		status.Ready, status.Started = false, nil // which nobody asks of them
		out = append(out, status)
	}
	return out
}
