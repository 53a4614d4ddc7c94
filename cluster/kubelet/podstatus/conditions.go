package podstatus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// conditions sets the kubelet's conditions.
func (s *Observed) conditions(status *v1.PodStatus, now time.Time) {
	set := func(kind v1.PodConditionType, reason, message string) {
		value := v1.ConditionTrue
		if reason != "" {
			value = v1.ConditionFalse
		}
		if reason == "PodCompleted" && kind == v1.PodInitialized {
			value = v1.ConditionTrue
		}
		podspec.SetCondition(status, v1.PodCondition{
			Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: s.Pod.Generation,
		}, now)
	}
	set(v1.PodScheduled, "", "") // it is here
	if s.Sandbox != nil && s.Sandbox.State == cri.Running && s.PodIP != "" {
		set(v1.PodReadyToStartContainers, "", "")
	} else {
		// Upstream gives this condition no reason when it is false.
		podspec.SetCondition(status, v1.PodCondition{Type: v1.PodReadyToStartContainers, Status: v1.ConditionFalse, ObservedGeneration: s.Pod.Generation}, now)
	}

	var pending, unready []string
	for i, st := range status.InitContainerStatuses {
		ok := st.Ready
		if podfacts.Sidecar(&s.Pod.Spec.InitContainers[i]) {
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
		if closed := closedGates(s.Pod.Spec.ReadinessGates, status.Conditions); closed != "" {
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

// showFailure sets Failed in the status of a pod that the node terminates.
func (s *Observed) showFailure(status *v1.PodStatus) {
	if s.Failed != nil {
		status.Phase, status.Reason, status.Message = v1.PodFailed, s.Failed.Reason, s.Failed.Message
	}
}
