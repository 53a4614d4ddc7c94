package deployment

import (
	"slices"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// counted returns the status by the sets, with the Available condition. Other conditions are
// those of the present status.
func (r *round) counted() apps.DeploymentStatus {
	st := apps.DeploymentStatus{
		ObservedGeneration: r.d.Generation,
		CollisionCount:     r.d.Status.CollisionCount,
		Conditions:         slices.Clone(r.d.Status.Conditions),
	}
	terminating, known := int32(0), true
	for _, rs := range r.all() {
		st.Replicas += rs.Status.Replicas
		st.ReadyReplicas += rs.Status.ReadyReplicas
		st.AvailableReplicas += rs.Status.AvailableReplicas
		if n := rs.Status.TerminatingReplicas; n != nil {
			terminating += *n
		} else {
			known = false
		}
	}
	if known {
		st.TerminatingReplicas = &terminating
	}
	if r.current != nil {
		st.UpdatedReplicas = r.current.Status.Replicas
	}
	st.UnavailableReplicas = max(0, sizes(r.all())-st.AvailableReplicas)
	available := apps.DeploymentCondition{
		Type: apps.DeploymentAvailable, Status: v1.ConditionTrue,
		Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability.",
	}
	if st.AvailableReplicas < r.replicas-r.unavailable() {
		available.Status = v1.ConditionFalse
		available.Reason, available.Message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
	}
	setCondition(&st, available, metav1.NewTime(r.now))
	return st
}

func condition(st *apps.DeploymentStatus, t apps.DeploymentConditionType) *apps.DeploymentCondition {
	for i := range st.Conditions {
		if st.Conditions[i].Type == t {
			return &st.Conditions[i]
		}
	}
	return nil
}

// setCondition keeps a condition that has the status and the reason already.
func setCondition(st *apps.DeploymentStatus, c apps.DeploymentCondition, now metav1.Time) {
	was := condition(st, c.Type)
	if was != nil && was.Status == c.Status && was.Reason == c.Reason {
		return
	}
	replaceCondition(st, c, now)
}

// replaceCondition writes it again, with a new lastUpdateTime.
func replaceCondition(st *apps.DeploymentStatus, c apps.DeploymentCondition, now metav1.Time) {
	was := condition(st, c.Type)
	if c.LastUpdateTime.IsZero() {
		c.LastUpdateTime = now
	}
	if c.LastTransitionTime.IsZero() {
		c.LastTransitionTime = now
	}
	if was != nil && was.Status == c.Status {
		c.LastTransitionTime = was.LastTransitionTime
	}
	removeCondition(st, c.Type)
	st.Conditions = append(st.Conditions, c)
}

func removeCondition(st *apps.DeploymentStatus, t apps.DeploymentConditionType) {
	st.Conditions = slices.DeleteFunc(st.Conditions, func(c apps.DeploymentCondition) bool { return c.Type == t })
}

// complete reports whether the rollout is complete: all pods are of the present template and available.
func complete(d *apps.Deployment, st *apps.DeploymentStatus) bool {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return st.UpdatedReplicas == replicas && st.Replicas == replicas && st.AvailableReplicas == replicas &&
		st.ObservedGeneration >= d.Generation
}
