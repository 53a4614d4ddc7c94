// Package podstatus computes the status of a pod from what is observed of it: its
// containers, the results of its probes, its address. It is pure: it does no I/O, reads
// no clock, and changes only the Observed that See is called on.
//
// The caller fills Observed, one for each pod, calls Compute, and adds the parts of a
// status that are not of this package (the conditions of a resize). Conditions that the
// kubelet does not own are kept.
package podstatus

import (
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// Observed is what is observed of a pod at one moment.
type Observed struct {
	Pod        *v1.Pod
	Sandbox    *cri.Container             // the newest one
	Containers map[string][]cri.Container // by name, in order of attempts
	Results    Results
	Waiting    map[string]v1.ContainerStateWaiting
	Messages   map[string]string // termination messages, by container id
	PodIP      string
	HostIP     string
	Final      bool     // nothing of the pod will run again
	Failed     *Failure // why the node terminates the pod, nil if it does not
}

// Failure is why the node terminates a pod before its time, whatever its restart policy.
type Failure struct{ Reason, Message string }

// Results are the results of the probes of running containers.
type Results interface {
	Health(containerID string) Health
}

// Health is what the probes have found about a container.
type Health struct {
	Started bool // no startup probe, or it has succeeded
	Ready   bool
	Failing string // the probe because of which it must be restarted, empty if there is none
}

// See takes over what the runtime has of the pod.
func (s *Observed) See(all []cri.Container) {
	s.Sandbox, s.Containers = nil, map[string][]cri.Container{}
	for i := range all {
		if c := all[i]; c.Name != cri.SandboxName {
			s.Containers[c.Name] = append(s.Containers[c.Name], c)
		} else if s.Sandbox == nil || c.State == cri.Running || s.Sandbox.State != cri.Running {
			s.Sandbox = &all[i]
		}
	}
}

// Latest is the newest container of a name.
func (s *Observed) Latest(name string) *cri.Container {
	list := s.Containers[name]
	if len(list) == 0 {
		return nil
	}
	last := &list[len(list)-1]
	for i := range list {
		if list[i].Attempt > last.Attempt {
			last = &list[i]
		}
	}
	return last
}

// Current is the newest container of a name if it lives in the present sandbox.
func (s *Observed) Current(name string) *cri.Container {
	c := s.Latest(name)
	if c == nil || s.Sandbox == nil || s.Sandbox.State != cri.Running || c.Labels[cri.LabelSandbox] != s.Sandbox.ID {
		return nil
	}
	return c
}
