package statefulset

import (
	apps "k8s.io/api/apps/v1"

	"wheelhouse/cluster/api/podfacts"
)

// status counts pods. When all pods are of the new revision and ready, the new
// revision becomes the current one.
func (s *snapshot) status(collisions int32) apps.StatefulSetStatus {
	st := apps.StatefulSetStatus{
		ObservedGeneration: s.set.Generation,
		CurrentRevision:    s.current.name,
		UpdateRevision:     s.update.name,
		CollisionCount:     &collisions,
		Conditions:         s.set.Status.Conditions,
	}
	for _, p := range s.pods {
		if ordinalOf(s.set, p) < 0 {
			continue
		}
		st.Replicas++
		if s.ready(p) {
			st.ReadyReplicas++
		}
		if s.available(p) {
			st.AvailableReplicas++
		}
		if !podfacts.Active(p) {
			continue
		}
		if revisionOf(p) == s.current.name {
			st.CurrentReplicas++
		}
		if revisionOf(p) == s.update.name {
			st.UpdatedReplicas++
		}
	}
	n := int32(replicas(s.set))
	if s.set.Spec.UpdateStrategy.Type == apps.RollingUpdateStatefulSetStrategyType &&
		st.UpdatedReplicas == n && st.Replicas == n && st.ReadyReplicas == n {
		st.CurrentReplicas, st.CurrentRevision = st.UpdatedReplicas, st.UpdateRevision
	}
	return st
}
