package deployment

import (
	apps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// roll is the next step of a rolling update: the new set is scaled up as far as maxSurge
// allows; if it is not, the old ones are scaled down as far as maxUnavailable allows.
func (r *round) roll() {
	r.ensureCurrent()
	if r.growCurrent() {
		return
	}
	if r.shrinkOld() {
		return
	}
	if complete(r.d, &r.d.Status) {
		r.removeOldSets()
	}
}

// growCurrent scales up the new set; false if there was nothing to do.
func (r *round) growCurrent() bool {
	has := size(r.current)
	if has != r.replicas {
		r.setSize(r.current, r.sizeOfCurrent(has))
	}
	return size(r.current) != has
}

// sizeOfCurrent returns how large the new set may be beside the old ones.
func (r *round) sizeOfCurrent(has int32) int32 {
	if has >= r.replicas || r.d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		return r.replicas
	}
	room := r.replicas + r.surge() - sizes(r.old) - has
	return has + max(0, min(room, r.replicas-has))
}

// shrinkOld scales down the old sets: first unavailable pods, then as many as the available
// ones allow; false if there was nothing to do.
func (r *round) shrinkOld() bool {
	before := sizes(r.old)
	least := r.replicas - r.unavailable()
	// Replicas beyond the least, not counting new pods that are not available yet.
	spare := before + available(r.current) - least
	if before == 0 || spare <= 0 {
		return false
	}
	for _, rs := range r.old {
		useless := min(spare, size(rs)-available(rs))
		if useless > 0 {
			r.setSize(rs, size(rs)-useless)
			spare -= useless
		}
	}
	excess := available(r.current) - least
	for _, rs := range r.old {
		excess += available(rs)
	}
	for _, rs := range r.old {
		if n := min(excess, size(rs)); n > 0 {
			r.setSize(rs, size(rs)-n)
			excess -= n
		}
	}
	return sizes(r.old) != before
}

// recreate is the next step of the Recreate strategy: no new pod while an old one exists.
func (r *round) recreate() {
	if len(active(r.old)) > 0 {
		r.adoptCurrent()
		for _, rs := range r.old {
			if size(rs) > 0 {
				r.setSize(rs, 0)
			}
		}
		return
	}
	if r.oldRuns() {
		r.adoptCurrent()
		return
	}
	r.ensureCurrent()
	r.growCurrent()
	if complete(r.d, &r.d.Status) {
		r.removeOldSets()
	}
}

// oldRuns reports whether pods of other templates exist, terminating ones included.
func (r *round) oldRuns() bool {
	for _, rs := range r.old {
		if rs.Status.Replicas > 0 {
			return true
		}
	}
	for uid, n := range r.running {
		if n > 0 && (r.current == nil || r.current.UID != uid) && r.owns(uid) {
			return true
		}
	}
	return false
}

// surge returns how many pods there may be beyond spec.replicas.
func (r *round) surge() int32 {
	surge, _ := fenceposts(r.d, r.replicas)
	return surge
}

// unavailable returns how many pods may be unavailable.
func (r *round) unavailable() int32 {
	_, unavailable := fenceposts(r.d, r.replicas)
	return min(unavailable, r.replicas)
}

// fenceposts resolves maxSurge (rounded up) and maxUnavailable (rounded down). If both are 0,
// one pod may be unavailable, or there would be no progress.
func fenceposts(d *apps.Deployment, replicas int32) (surge, unavailable int32) {
	if d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		return 0, 0
	}
	quarter := intstr.FromString("25%")
	s, u := &quarter, &quarter
	if ru := d.Spec.Strategy.RollingUpdate; ru != nil {
		if ru.MaxSurge != nil {
			s = ru.MaxSurge
		}
		if ru.MaxUnavailable != nil {
			u = ru.MaxUnavailable
		}
	}
	// Validation rejects what cannot be resolved; it would count as 0.
	n, _ := intstr.GetScaledValueFromIntOrPercent(s, int(replicas), true)
	m, _ := intstr.GetScaledValueFromIntOrPercent(u, int(replicas), false)
	if n == 0 && m == 0 {
		m = 1
	}
	return int32(n), int32(m)
}
