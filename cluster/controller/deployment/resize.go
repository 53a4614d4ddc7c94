package deployment

import (
	"cmp"
	"math"
	"slices"

	apps "k8s.io/api/apps/v1"
)

// resized reports whether the Deployment was scaled since its sets were last written.
func (r *round) resized() bool {
	sets := active(r.all())
	if len(sets) > 1 && r.d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		return false // the others must be scaled down first
	}
	for _, rs := range sets {
		if n, ok := number(rs, desiredKey); ok && n != r.replicas {
			return true
		}
	}
	return false
}

// resize applies a change of spec.replicas without a change of template: during a rollout
// each set is scaled in proportion.
func (r *round) resize() {
	if one := r.activeOrLatest(); one != nil {
		if size(one) != r.replicas {
			r.setSize(one, r.replicas)
		}
		return
	}
	if r.saturated() {
		for _, rs := range r.old {
			if size(rs) > 0 {
				r.setSize(rs, 0)
			}
		}
		return
	}
	if r.d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType {
		r.resizeInProportion()
	}
}

// activeOrLatest returns the only set with replicas or, if none has any, the present or the
// newest; nil if there are several, or none at all.
func (r *round) activeOrLatest() *apps.ReplicaSet {
	sets := r.all()
	act := active(sets)
	switch {
	case len(act) == 1:
		return act[0]
	case len(act) > 1 || len(sets) == 0:
		return nil
	case r.current != nil:
		return r.current
	}
	return r.old[len(r.old)-1]
}

// saturated reports whether the present set has all desired replicas.
func (r *round) saturated() bool {
	if r.current == nil {
		return false
	}
	n, ok := number(r.current, desiredKey)
	return ok && n == r.replicas && size(r.current) == r.replicas && r.current.Status.AvailableReplicas == r.replicas
}

func (r *round) resizeInProportion() {
	sets := active(r.all())
	var limit int32
	if r.replicas > 0 {
		limit = r.replicas + r.surge()
	}
	toAdd := limit - sizes(sets)
	// The largest take what rounding leaves; among equals the newest grows and the oldest shrinks.
	slices.SortFunc(sets, func(a, b *apps.ReplicaSet) int {
		age := olderFirst(a, b)
		if toAdd > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(size(b), size(a)), age)
	})
	next := make([]int32, len(sets))
	var added int32
	for i, rs := range sets {
		n := r.share(rs, toAdd, added)
		next[i] = size(rs) + n
		added += n
	}
	for i, rs := range sets {
		if i == 0 {
			next[i] = max(0, next[i]+toAdd-added)
		}
		r.setSize(rs, next[i])
	}
}

// share returns a set's part of the replicas to add, or, negative, to remove.
func (r *round) share(rs *apps.ReplicaSet, toAdd, added int32) int32 {
	if toAdd == 0 || toAdd == added {
		return 0
	}
	part := r.fraction(rs)
	if toAdd > 0 {
		return min(part, toAdd-added)
	}
	return max(part, toAdd-added)
}

func (r *round) fraction(rs *apps.ReplicaSet) int32 {
	if r.replicas == 0 {
		return -size(rs)
	}
	before, ok := number(rs, maxKey)
	if !ok || before == 0 {
		before = r.d.Status.Replicas
	}
	if before == 0 {
		return 0
	}
	return int32(math.Round(float64(size(rs))*float64(r.replicas+r.surge())/float64(before))) - size(rs)
}
