// Package podfacts holds the facts that every component reads from a pod in the same
// way: whether it is terminal, active, ready or available, its priority, its QoS
// class, and the objects that it refers to. The rules and most names are those of upstream's pod utilities.
//
// Functions are pure and never change the pod. The package imports nothing of the
// project, so the API server and the components share it.
package podfacts

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SystemCriticalPriority is the lowest priority of pods that the system depends on.
const SystemCriticalPriority = 2_000_000_000

// TerminalPhase reports whether a phase is final: Succeeded or Failed.
func TerminalPhase(phase v1.PodPhase) bool {
	return phase == v1.PodSucceeded || phase == v1.PodFailed
}

// Terminal reports whether the pod has reached a final phase.
func Terminal(p *v1.Pod) bool { return TerminalPhase(p.Status.Phase) }

// Active reports whether the pod counts as a replica: not terminal and not being deleted.
func Active(p *v1.Pod) bool { return !Terminal(p) && p.DeletionTimestamp == nil }

// Condition returns the pod's condition of a type, or nil.
func Condition(p *v1.Pod, t v1.PodConditionType) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == t {
			return c
		}
	}
	return nil
}

// Ready reports whether the pod's Ready condition is true.
func Ready(p *v1.Pod) bool {
	c := Condition(p, v1.PodReady)
	return c != nil && c.Status == v1.ConditionTrue
}

// ReadySince returns the last transition of the Ready condition, zero if there is none.
func ReadySince(p *v1.Pod) metav1.Time {
	if c := Condition(p, v1.PodReady); c != nil {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}

// Available reports whether the pod has been ready for at least minReadySeconds.
func Available(p *v1.Pod, minReadySeconds int32, now time.Time) bool {
	if !Ready(p) || minReadySeconds == 0 {
		return Ready(p)
	}
	since := ReadySince(p)
	return !since.IsZero() && !since.Add(time.Duration(minReadySeconds)*time.Second).After(now)
}

// Priority returns the pod's priority, 0 if it has none.
func Priority(p *v1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// Critical reports whether a node never evicts or preempts the pod: a mirror pod of one of
// its own static pods, or a pod of system-critical priority.
func Critical(p *v1.Pod) bool {
	_, mirror := p.Annotations[v1.MirrorPodAnnotationKey]
	return mirror || Priority(p) >= SystemCriticalPriority
}

// Sidecar reports whether an init container is restartable: it runs as long as the pod.
func Sidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// QOSClass returns the pod's class from its status, or computes it.
func QOSClass(p *v1.Pod) v1.PodQOSClass {
	if p.Status.QOSClass != "" {
		return p.Status.QOSClass
	}
	return ComputeQOSClass(&p.Spec)
}

// ComputeQOSClass derives the class from requests and limits: Guaranteed if they are equal
// for all containers, BestEffort if none is set. Resources of the pod as a whole decide if
// they are set.
func ComputeQOSClass(s *v1.PodSpec) v1.PodQOSClass {
	set, guaranteed := false, true
	add := func(r *v1.ResourceRequirements) {
		for _, n := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
			request, limit := r.Requests[n], r.Limits[n]
			set = set || !request.IsZero() || !limit.IsZero()
			// A request left out is the limit.
			if limit.IsZero() || !request.IsZero() && request.Cmp(limit) != 0 {
				guaranteed = false
			}
		}
	}
	if s.Resources != nil {
		add(s.Resources)
	} else {
		for i := range s.InitContainers {
			add(&s.InitContainers[i].Resources)
		}
		for i := range s.Containers {
			add(&s.Containers[i].Resources)
		}
	}
	switch {
	case !set:
		return v1.PodQOSBestEffort
	case guaranteed:
		return v1.PodQOSGuaranteed
	}
	return v1.PodQOSBurstable
}
