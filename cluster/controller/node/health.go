package node

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// heartbeat is the last heartbeat of a node, and when it was observed by the local clock:
// clocks of nodes are not trusted, and may be set back.
type heartbeat struct {
	lease, ready metav1.Time
	seen         time.Time
}

// update records a heartbeat that differs from the last one.
func (p *heartbeat) update(node *v1.Node, lease metav1.Time, now time.Time) {
	var ready metav1.Time
	if c := condition(node, v1.NodeReady); c != nil && c.Status != v1.ConditionUnknown {
		ready = c.LastHeartbeatTime
	}
	renewed, reported := !lease.IsZero() && !lease.Equal(&p.lease), !ready.IsZero() && !ready.Equal(&p.ready)
	if p.seen.IsZero() || renewed || reported {
		p.seen = now
	}
	if renewed {
		p.lease = lease
	}
	if reported {
		p.ready = ready
	}
}

// reported are the conditions that only the kubelet can report.
var reported = []v1.NodeConditionType{v1.NodeReady, v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure}

// unknownConditions returns the conditions of a node without heartbeat, and whether any
// differs from the present ones.
func unknownConditions(node *v1.Node, now metav1.Time) (conds []v1.NodeCondition, changed bool) {
	conds = slices.Clone(node.Status.Conditions)
	for _, t := range reported {
		i := slices.IndexFunc(conds, func(c v1.NodeCondition) bool { return c.Type == t })
		if i < 0 {
			conds = append(conds, v1.NodeCondition{
				Type: t, Status: v1.ConditionUnknown, Reason: "NodeStatusNeverUpdated",
				Message: "Kubelet never posted node status.", LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: now,
			})
			changed = true
			continue
		}
		if conds[i].Status != v1.ConditionUnknown {
			conds[i].Status = v1.ConditionUnknown
			conds[i].Reason = "NodeStatusUnknown"
			conds[i].Message = "Kubelet stopped posting node status."
			conds[i].LastTransitionTime = now
			changed = true
		}
	}
	return conds, changed
}

func condition(node *v1.Node, t v1.NodeConditionType) *v1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == t {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func ready(node *v1.Node) v1.ConditionStatus {
	if c := condition(node, v1.NodeReady); c != nil {
		return c.Status
	}
	return v1.ConditionUnknown
}
