package deployment

import (
	"cmp"
	"math"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
)

// snapshot is what the next step is computed from. decide does not change it.
type snapshot struct {
	d       *apps.Deployment
	sets    []*apps.ReplicaSet // the Deployment's own
	running map[types.UID]int  // pods by set that are not terminal; for Recreate only
	now     time.Time
}

// step is what to do next.
type step struct {
	create     *apps.ReplicaSet // nil: the set of the present template exists
	changes    []change
	remove     []*apps.ReplicaSet
	deployment *apps.Deployment // with its next status and revision
	after      time.Duration    // when to requeue without a change; 0 is never
}

// change is a set to write, and its former replicas.
type change struct {
	set  *apps.ReplicaSet
	from int32
}

// round computes one step, on copies. It has more than 30 methods: the parts of one pure computation, which
// read and change the same copies.
type round struct {
	step
	snapshot
	replicas int32
	current  *apps.ReplicaSet   // of the present template, nil if there is none yet
	old      []*apps.ReplicaSet // the others, oldest first
}

// decide returns the next step.
func decide(v snapshot) step {
	r := &round{snapshot: v, replicas: 1}
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
			r.removeOldSets()
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

// sort copies the sets and selects the one of the present template: the oldest of several.
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

// all returns every set, the present one last.
func (r *round) all() []*apps.ReplicaSet {
	out := slices.Clone(r.old)
	if r.current != nil {
		out = append(out, r.current)
	}
	return out
}

// setSize sets the replicas of a set, and the annotations by which a scaling of the
// Deployment is detected later.
func (r *round) setSize(rs *apps.ReplicaSet, n int32) {
	from := size(rs)
	rs.Spec.Replicas = &n
	if r.annotateSizes(rs) || from != n {
		r.changed(rs, from)
	}
}

// changed adds rs to the writes. Several changes of one set are one write.
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

// available returns how many of the pods that a set will keep are available. Its status may
// have more if the set was just scaled down.
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

// set reports whether an optional limit is set: the greatest number is none.
func set(n *int32) bool { return n != nil && *n != math.MaxInt32 }
