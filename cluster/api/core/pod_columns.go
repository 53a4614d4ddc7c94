package core

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/rules"
)

var podColumns = []metav1.TableColumnDefinition{
	rules.NameColumn,
	rules.Column("Ready", "string", 0, "The aggregate readiness state of this pod for accepting traffic."),
	rules.Column("Status", "string", 0, "The aggregate status of the containers in this pod."),
	rules.Column("Restarts", "string", 0, "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
	rules.AgeColumn,
	rules.Column("IP", "string", 1, rules.Doc(corev1.PodStatus{}, "podIP")),
	rules.Column("Node", "string", 1, rules.Doc(corev1.PodSpec{}, "nodeName")),
	rules.Column("Nominated Node", "string", 1, rules.Doc(corev1.PodStatus{}, "nominatedNodeName")),
	rules.Column("Readiness Gates", "string", 1, rules.Doc(corev1.PodSpec{}, "readinessGates")),
}

func podRow(p *corev1.Pod) []any {
	s := summarize(p)
	restarts := strconv.Itoa(s.restarts.count)
	if s.restarts.count != 0 && !s.restarts.last.IsZero() {
		restarts = fmt.Sprintf("%d (%s ago)", s.restarts.count, duration.HumanDuration(rules.Now().Sub(s.restarts.last.Time)))
	}
	gates := "<none>"
	if n := len(p.Spec.ReadinessGates); n > 0 {
		met := 0
		for _, g := range p.Spec.ReadinessGates {
			if isConditionTrue(&p.Status, g.ConditionType) {
				met++
			}
		}
		gates = fmt.Sprintf("%d/%d", met, n)
	}
	return []any{
		p.Name, fmt.Sprintf("%d/%d", s.ready, s.total), s.reason, restarts, rules.Age(p.CreationTimestamp),
		rules.OrNone(podIP(p)), rules.OrNone(p.Spec.NodeName), rules.OrNone(p.Status.NominatedNodeName), gates,
	}
}

// podSummary is the state of a pod that its row shows.
type podSummary struct {
	reason       string
	ready, total int
	restarts     restarts
	sidecars     restarts
}

// restarts is the number of restarts of some containers, and the time of the last one.
type restarts struct {
	count int
	last  metav1.Time
}

func (r *restarts) add(c *corev1.ContainerStatus) {
	r.count += int(c.RestartCount)
	if t := c.LastTerminationState.Terminated; t != nil && r.last.Before(&t.FinishedAt) {
		r.last = t.FinishedAt
	}
}

// summarize computes the summary as upstream's printPod. STATUS is that of the first init container that is not
// complete; else of the first container that waits or is terminated; else the phase.
func summarize(p *corev1.Pod) *podSummary {
	s := &podSummary{reason: string(p.Status.Phase), total: len(p.Spec.Containers)}
	if p.Status.Reason != "" {
		s.reason = p.Status.Reason
	}
	if c := podCondition(&p.Status, corev1.PodScheduled); c != nil && c.Reason == corev1.PodReasonSchedulingGated {
		s.reason = corev1.PodReasonSchedulingGated
	}
	if initializing := s.initContainers(p); !initializing || isConditionTrue(&p.Status, corev1.PodInitialized) {
		s.containers(p)
	}
	if p.DeletionTimestamp != nil {
		switch {
		case p.Status.Reason == "NodeLost":
			s.reason = "Unknown"
		case !podfacts.Terminal(p):
			s.reason = "Terminating"
		}
	}
	return s
}

// initContainers adds the init containers. It reports whether one of them is not complete.
func (s *podSummary) initContainers(p *corev1.Pod) bool {
	sidecar := make(map[string]bool, len(p.Spec.InitContainers))
	for i := range p.Spec.InitContainers {
		if podfacts.Sidecar(&p.Spec.InitContainers[i]) {
			sidecar[p.Spec.InitContainers[i].Name] = true
			s.total++
		}
	}
	for i := range p.Status.InitContainerStatuses {
		c := &p.Status.InitContainerStatuses[i]
		s.restarts.add(c)
		if sidecar[c.Name] {
			s.sidecars.add(c)
		}
		switch terminated, waiting := c.State.Terminated, c.State.Waiting; {
		case terminated != nil && terminated.ExitCode == 0:
			continue
		case sidecar[c.Name] && c.Started != nil && *c.Started:
			if c.Ready {
				s.ready++
			}
			continue
		case terminated != nil:
			s.reason = "Init:" + terminatedReason(terminated)
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			s.reason = "Init:" + waiting.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		return true
	}
	return false
}

func terminatedReason(t *corev1.ContainerStateTerminated) string {
	switch {
	case t.Reason != "":
		return t.Reason
	case t.Signal != 0:
		return fmt.Sprintf("Signal:%d", t.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", t.ExitCode)
}

// containers adds the containers from the last to the first, so that the first reason stays.
func (s *podSummary) containers(p *corev1.Pod) {
	s.restarts = s.sidecars
	running := false
	for i := len(p.Status.ContainerStatuses) - 1; i >= 0; i-- {
		c := &p.Status.ContainerStatuses[i]
		s.restarts.add(c)
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "":
			s.reason = c.State.Waiting.Reason
		case c.State.Terminated != nil:
			s.reason = terminatedReason(c.State.Terminated)
		case c.Ready && c.State.Running != nil:
			running = true
			s.ready++
		}
	}
	// Some containers have completed, others are running.
	if s.reason == "Completed" && running {
		s.reason = "NotReady"
		if isConditionTrue(&p.Status, corev1.PodReady) {
			s.reason = "Running"
		}
	}
}
