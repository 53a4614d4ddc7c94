package statefulset

import (
	"cmp"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api/podfacts"
)

// version is a revision and its template.
type version struct {
	name     string
	template *v1.PodTemplateSpec
}

// snapshot is what the next steps are computed from.
type snapshot struct {
	set             *apps.StatefulSet
	current, update version
	pods            []*v1.Pod
	claim           func(name string) *v1.PersistentVolumeClaim // nil: there is none
	now             time.Time
}

// action is what a step does to a pod.
type action string

const (
	create   action = "create"   // its claims, then the pod
	remove   action = "delete"   // scaled away, or of an old revision
	recreate action = "recreate" // it is terminal: delete it, the next reconcile creates it again
	claims   action = "claims"   // create the missing claims of a pod
	own      action = "own"      // update the owners of its claims
	relabel  action = "relabel"  // restore the labels of its identity
)

type step struct {
	do  action
	pod *v1.Pod
}

// plan returns the next steps. In an ordered set the list ends with the first step that
// must take effect before the next. A Parallel set has such steps in updates only.
func (s *snapshot) plan() []step {
	wanted, extra := s.sort()
	var steps []step
	for i, p := range wanted {
		more, goOn := s.tend(p, firstOrdinal(s.set)+i)
		steps = append(steps, more...)
		if !goOn && s.ordered() {
			return steps
		}
	}
	for _, p := range extra {
		if s.ownersDiffer(p) {
			steps = append(steps, step{own, p})
		}
	}
	more, goOn := s.shrink(wanted, extra)
	steps = append(steps, more...)
	if !goOn || s.set.Spec.UpdateStrategy.Type == apps.OnDeleteStatefulSetStrategyType {
		return steps
	}
	return append(steps, s.roll(wanted)...)
}

func (s *snapshot) ordered() bool {
	return s.set.Spec.PodManagementPolicy != apps.ParallelPodManagement
}

// burst is the most pods that one plan creates.
const burst = 500

// sort returns the pods by ordinal, nil where one is missing, and those beyond the set's
// range, highest first. It returns at most burst missing ordinals: the others follow later.
func (s *snapshot) sort() (wanted, extra []*v1.Pod) {
	wanted = make([]*v1.Pod, min(replicas(s.set), len(s.pods)+burst))
	for _, p := range s.pods {
		n := ordinalOf(s.set, p)
		switch at := n - firstOrdinal(s.set); {
		case n < 0:
		case at >= 0 && at < len(wanted):
			wanted[at] = p
		case at >= 0 && at < replicas(s.set):
		default:
			extra = append(extra, p)
		}
	}
	slices.SortFunc(extra, func(a, b *v1.Pod) int { return cmp.Compare(ordinalOf(s.set, b), ordinalOf(s.set, a)) })
	return wanted, extra
}

// tend returns the steps for one ordinal, and whether to continue with the next one.
func (s *snapshot) tend(p *v1.Pod, ordinal int) (steps []step, goOn bool) {
	if p == nil {
		next := s.newPod(ordinal)
		for _, c := range claimsFor(s.set, ordinal) {
			if is := s.claim(c.Name); is != nil && stale(is, next.Name) {
				return nil, false
			}
		}
		return []step{{create, next}}, false
	}
	if podfacts.Terminal(p) {
		if p.DeletionTimestamp == nil {
			return []step{{recreate, p}}, false
		}
		return nil, false
	}
	if p.Status.Phase == v1.PodPending && s.claimMissing(ordinal) {
		steps = append(steps, step{claims, p})
	}
	if s.ordered() && (p.DeletionTimestamp != nil || !s.available(p)) {
		return steps, false
	}
	if p.Labels[apps.StatefulSetPodNameLabel] != p.Name {
		steps = append(steps, step{relabel, p})
	}
	if s.ownersDiffer(p) {
		steps = append(steps, step{own, p})
	}
	return steps, true
}

// newPod returns the pod of an ordinal, of the current revision if the partition, or an
// update without one, keeps the ordinal there.
func (s *snapshot) newPod(ordinal int) *v1.Pod {
	v, at := s.update, ordinal-firstOrdinal(s.set)
	if s.set.Spec.UpdateStrategy.Type == apps.RollingUpdateStatefulSetStrategyType {
		r := s.set.Spec.UpdateStrategy.RollingUpdate
		if r == nil && at < int(s.set.Status.CurrentReplicas) || r != nil && at < s.partition() {
			v = s.current
		}
	}
	return podFor(s.set, v.template, v.name, ordinal)
}

func (s *snapshot) partition() int {
	if r := s.set.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return int(*r.Partition)
	}
	return 0
}

// shrink deletes pods beyond the range, highest ordinal first. An ordered set waits until
// the previous one is deleted and until a pod is available, except that the lowest
// unhealthy pod may be deleted.
func (s *snapshot) shrink(wanted, extra []*v1.Pod) (steps []step, goOn bool) {
	var sick *v1.Pod
	for _, p := range append(slices.Clone(wanted), backwards(extra)...) {
		if sick == nil && p != nil && !s.healthy(p) {
			sick = p
		}
	}
	for _, p := range extra {
		switch {
		case p.DeletionTimestamp != nil && s.ordered():
			return steps, false
		case p.DeletionTimestamp != nil:
			continue
		case s.ordered() && !s.available(p) && p != sick:
			return steps, false
		}
		steps = append(steps, step{remove, p})
		if s.ordered() {
			return steps, false
		}
	}
	return steps, true
}

func backwards(in []*v1.Pod) []*v1.Pod {
	out := slices.Clone(in)
	slices.Reverse(out)
	return out
}

// roll deletes pods of an old revision, highest ordinal first; the next reconcile recreates
// them. No more than the budget are unavailable at a time, but an old pod that is
// unavailable anyway may be deleted while no other is in transition.
func (s *snapshot) roll(wanted []*v1.Pod) []step {
	var steps []step
	unavailable, onTheWay := 0, 0
	for _, p := range wanted {
		switch {
		case p == nil || p.DeletionTimestamp != nil:
			unavailable++
			onTheWay++
		case !s.available(p):
			unavailable++
			if revisionOf(p) == s.update.name {
				onTheWay++
			}
		}
	}
	budget := s.budget()
	for i := len(wanted) - 1; i >= s.partition() && i >= 0; i-- {
		p := wanted[i]
		if p == nil || p.DeletionTimestamp != nil || revisionOf(p) == s.update.name {
			continue
		}
		switch works := s.available(p); {
		case onTheWay >= budget || works && unavailable >= budget:
			return steps
		case works:
			unavailable++
		}
		onTheWay++
		steps = append(steps, step{remove, p})
	}
	return steps
}

func (s *snapshot) budget() int {
	r := s.set.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, replicas(s.set), true)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

func revisionOf(p *v1.Pod) string { return p.Labels[apps.StatefulSetRevisionLabel] }

func (s *snapshot) ready(p *v1.Pod) bool {
	return podfacts.Ready(p) && p.Status.Phase == v1.PodRunning
}

func (s *snapshot) healthy(p *v1.Pod) bool { return s.ready(p) && p.DeletionTimestamp == nil }

func (s *snapshot) available(p *v1.Pod) bool {
	return s.ready(p) && podfacts.Available(p, s.set.Spec.MinReadySeconds, s.now)
}

func (s *snapshot) inRange(p *v1.Pod) bool {
	at := ordinalOf(s.set, p) - firstOrdinal(s.set)
	return at >= 0 && at < replicas(s.set)
}

func (s *snapshot) claimMissing(ordinal int) bool {
	for _, c := range claimsFor(s.set, ordinal) {
		if s.claim(c.Name) == nil {
			return true
		}
	}
	return false
}

func (s *snapshot) ownersDiffer(p *v1.Pod) bool {
	for _, c := range claimsFor(s.set, ordinalOf(s.set, p)) {
		if is := s.claim(c.Name); is != nil {
			if _, change := desiredOwners(is, s.set, p, s.inRange(p)); change {
				return true
			}
		}
	}
	return false
}
