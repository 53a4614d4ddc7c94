package deployment

import (
	"cmp"
	"slices"

	apps "k8s.io/api/apps/v1"
)

// removeOldSets deletes the oldest revisions beyond revisionHistoryLimit. A set that has, or
// may have, pods stays.
func (r *round) removeOldSets() {
	if !set(r.d.Spec.RevisionHistoryLimit) {
		return
	}
	var kept []*apps.ReplicaSet
	for _, rs := range r.old {
		if rs.DeletionTimestamp == nil {
			kept = append(kept, rs)
		}
	}
	slices.SortStableFunc(kept, func(a, b *apps.ReplicaSet) int { return cmp.Compare(revision(a), revision(b)) })
	for i := range len(kept) - int(*r.d.Spec.RevisionHistoryLimit) {
		rs := kept[i]
		if size(rs) == 0 && rs.Status.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration {
			r.remove = append(r.remove, rs)
		}
	}
}
