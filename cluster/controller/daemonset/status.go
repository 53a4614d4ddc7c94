package daemonset

import (
	"slices"

	apps "k8s.io/api/apps/v1"

	"wheelhouse/cluster/api/podfacts"
)

// status counts nodes, not pods.
func (s *snapshot) status(collisions int32, observed int64) apps.DaemonSetStatus {
	st := apps.DaemonSetStatus{ObservedGeneration: observed, Conditions: s.ds.Status.Conditions, CollisionCount: s.ds.Status.CollisionCount}
	if collisions > 0 {
		st.CollisionCount = &collisions
	}
	for _, n := range s.nodes {
		run, _ := eligible(s.ds, n)
		here := slices.Clone(s.pods[n.Name])
		switch {
		case !run && len(here) > 0:
			st.NumberMisscheduled++
			continue
		case !run:
			continue
		}
		st.DesiredNumberScheduled++
		if len(here) == 0 {
			continue
		}
		st.CurrentNumberScheduled++
		slices.SortStableFunc(here, older)
		first := here[0]
		if podfacts.Ready(first) {
			st.NumberReady++
			if s.available(first) {
				st.NumberAvailable++
			}
		}
		if s.current(first) {
			st.UpdatedNumberScheduled++
		}
	}
	st.NumberUnavailable = st.DesiredNumberScheduled - st.NumberAvailable
	return st
}
