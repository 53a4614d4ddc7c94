package deployment

import (
	apps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// roll is the next step of a rolling update: the new set grows as far as the surge
// allows; if it cannot, the old ones shrink as far as availability allows.
func (r *round) roll() {
	r.needCurrent()
	if r.growCurrent() {
		return
	}
	if r.shrinkOld() {
		return
	}
	if complete(r.d, &r.d.Status) {
		r.forgetOld()
	}
}

// growCurrent brings the new set nearer to the wanted size; false if there was nothing to do.
func (r *round) growCurrent() bool {
	has := size(r.current)
	if has != r.replicas {
		r.setSize(r.current, r.sizeOfCurrent(has))
	}
	return size(r.current) != has
}

// sizeOfCurrent is how large the new set may be, beside the pods that the old ones ask for.
func (r *round) sizeOfCurrent(has int32) int32 {
	if has >= r.replicas || r.d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		return r.replicas
	}
	room := r.replicas + r.surge() - sizes(r.old) - has
	return has + max(0, min(room, r.replicas-has))
}

// shrinkOld takes away old pods: first those that are of no use, then as many as the
// available ones allow; false if there was nothing to do.
func (r *round) shrinkOld() bool {
	before := sizes(r.old)
	least := r.replicas - r.unavailable()
	// What is asked for beyond the least, not counting new pods that are not there yet.
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

// recreate is the next step where old and new pods must not meet.
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
	r.needCurrent()
	r.growCurrent()
	if complete(r.d, &r.d.Status) {
		r.forgetOld()
	}
}

// oldRuns says whether pods of other templates are still there, ending ones included.
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

// surge is how many pods there may be beyond the wanted number.
func (r *round) surge() int32 {
	surge, _ := fenceposts(r.d, r.replicas)
	return surge
}

// unavailable is how many pods may be missing.
func (r *round) unavailable() int32 {
	_, unavailable := fenceposts(r.d, r.replicas)
	return min(unavailable, r.replicas)
}

// fenceposts resolves maxSurge (rounded up) and maxUnavailable (rounded down). Where both
// come to nothing one pod may be missing, as else nothing would ever move.
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
	// Validation keeps out what cannot be resolved; it would count as nothing.
	n, _ := intstr.GetScaledValueFromIntOrPercent(s, int(replicas), true)
	m, _ := intstr.GetScaledValueFromIntOrPercent(u, int(replicas), false)
	if n == 0 && m == 0 {
		m = 1
	}
	return int32(n), int32(m)
}
