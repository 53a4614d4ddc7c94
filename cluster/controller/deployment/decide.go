package deployment

import (
	"cmp"
	"math"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
)

// view is all that a decision rests on. decide changes nothing of it.
type view struct {
	d       *apps.Deployment
	sets    []*apps.ReplicaSet // the Deployment's own
	running map[types.UID]int  // pods by set that have not ended; for Recreate only
	now     time.Time
}

// step is what to do now.
type step struct {
	create     *apps.ReplicaSet // nil: the set of the present template is there
	changes    []change
	remove     []*apps.ReplicaSet
	deployment *apps.Deployment // with its next status and revision
	after      time.Duration    // when to look again although nothing changes; 0 is never
}

// change is a set as it is to be written, and how many replicas it asked for before.
type change struct {
	set  *apps.ReplicaSet
	from int32
}

// round is a decision under way, on copies.
type round struct {
	step
	view
	replicas int32
	current  *apps.ReplicaSet   // of the present template, nil if there is none yet
	old      []*apps.ReplicaSet // the others, oldest first
}

// decide says what the next step is.
func decide(v view) step {
	r := &round{view: v, replicas: 1}
	r.d = v.d.DeepCopy()
	r.deployment = r.d
	if r.d.Spec.Replicas != nil {
		r.replicas = *r.d.Spec.Replicas
	}
	r.sort(v.sets)
	if r.d.DeletionTimestamp != nil {
		r.adoptCurrent()
		r.d.Status = r.counted()
		return r.step
	}
	r.pause()
	switch {
	case r.d.Spec.Paused || r.resized():
		r.adoptCurrent()
		r.resize()
		if r.d.Spec.Paused {
			r.forgetOld()
		}
		r.d.Status = r.counted()
	case r.d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType:
		r.recreate()
		r.rolled()
	default:
		r.roll()
		r.rolled()
	}
	return r.step
}

// sort copies the sets and finds the one of the present template: the oldest, if there
// are several.
func (r *round) sort(sets []*apps.ReplicaSet) {
	for _, rs := range sets {
		r.old = append(r.old, rs.DeepCopy())
	}
	slices.SortFunc(r.old, olderFirst)
	for i, rs := range r.old {
		if sameTemplate(&rs.Spec.Template, &r.d.Spec.Template) {
			r.current = rs
			r.old = slices.Delete(r.old, i, i+1)
			return
		}
	}
}

func olderFirst(a, b *apps.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// all is every set, the present one last.
func (r *round) all() []*apps.ReplicaSet {
	out := slices.Clone(r.old)
	if r.current != nil {
		out = append(out, r.current)
	}
	return out
}

// setSize gives a set another size, if it differs, and notes what a scaling of the
// Deployment can be told by later.
func (r *round) setSize(rs *apps.ReplicaSet, n int32) {
	from := size(rs)
	rs.Spec.Replicas = &n
	if r.noteSizes(rs) || from != n {
		r.changed(rs, from)
	}
}

// changed has rs written. Several changes of one set are one write.
func (r *round) changed(rs *apps.ReplicaSet, from int32) {
	if rs == r.create {
		return
	}
	for _, c := range r.changes {
		if c.set == rs {
			return
		}
	}
	r.changes = append(r.changes, change{set: rs, from: from})
}

func size(rs *apps.ReplicaSet) int32 {
	if rs.Spec.Replicas == nil {
		return 1
	}
	return *rs.Spec.Replicas
}

func sizes(sets []*apps.ReplicaSet) (n int32) {
	for _, rs := range sets {
		n += size(rs)
	}
	return n
}

// available is how many of the pods that a set will keep are available. Its status may
// tell of more where the set was made smaller a moment ago.
func available(rs *apps.ReplicaSet) int32 { return min(rs.Status.AvailableReplicas, size(rs)) }

func active(sets []*apps.ReplicaSet) []*apps.ReplicaSet {
	var out []*apps.ReplicaSet
	for _, rs := range sets {
		if size(rs) > 0 {
			out = append(out, rs)
		}
	}
	return out
}

// set is whether an optional limit is one: the greatest number stands for none.
func set(n *int32) bool { return n != nil && *n != math.MaxInt32 }
