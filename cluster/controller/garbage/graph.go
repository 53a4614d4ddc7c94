package garbage

import (
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// object identifies an object.
type object struct {
	schema.GroupVersionResource
	namespace, name string
	uid             types.UID
}

// vertex is an object in the graph of owners.
type vertex struct {
	object
	// virtual: known from a dependent's reference only; no informer has delivered it yet.
	virtual    bool
	owners     []metav1.OwnerReference
	dependents map[*vertex]bool
	dying      bool // has a deletionTimestamp
	foreground bool // dying, and stays until its dependents are gone
	orphan     bool // dying, and its dependents are to lose their owner first
}

// graph holds owners and dependents by uid. It is safe for concurrent use; the vertices that
// it returns are copies.
type graph struct {
	mu  sync.Mutex
	all map[types.UID]*vertex
}

func newGraph() *graph { return &graph{all: map[types.UID]*vertex{}} }

// task is one reconcile that a change requires.
type task struct {
	uid    types.UID
	orphan bool // orphan the dependents; else check whether to delete the object
}

// resolve returns the object of an owner reference, as far as its kind is known.
type resolve func(ref metav1.OwnerReference, dependentNamespace string) object

// set records the present state of an object.
func (g *graph) set(o object, m metav1.Object, where resolve) []task {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.all[o.uid]
	if v == nil {
		v = &vertex{dependents: map[*vertex]bool{}}
		g.all[o.uid] = v
	}
	wasForeground, wasOrphan := v.foreground, v.orphan
	old := v.owners
	elsewhere := v.virtual && v.object != o // than the dependents say that are known
	v.object, v.virtual = o, false
	v.dying = m.GetDeletionTimestamp() != nil
	v.foreground = v.dying && slices.Contains(m.GetFinalizers(), metav1.FinalizerDeleteDependents)
	v.orphan = v.dying && slices.Contains(m.GetFinalizers(), metav1.FinalizerOrphanDependents)
	v.owners = m.GetOwnerReferences()
	tasks := g.relink(v, old, where)
	if elsewhere {
		tasks = append(tasks, v.dependentTasks()...)
	}
	if v.orphan && !wasOrphan {
		tasks = append(tasks, task{uid: o.uid, orphan: true})
	}
	if v.foreground && !wasForeground {
		tasks = append(append(tasks, task{uid: o.uid}), v.dependentTasks()...)
	}
	return tasks
}

// relink moves the edges of v from its old owners to its present ones.
func (g *graph) relink(v *vertex, old []metav1.OwnerReference, where resolve) []task {
	var tasks []task
	for i := range old {
		ref, still := find(v.owners, old[i].UID)
		unblocked := still && blocks(&old[i]) && !blocks(ref)
		if owner := g.all[old[i].UID]; owner != nil && (!still || unblocked) {
			if !still {
				delete(owner.dependents, v)
			}
			if owner.foreground {
				tasks = append(tasks, task{uid: owner.uid})
			}
		}
	}
	for i := range v.owners {
		ref := v.owners[i]
		owner := g.all[ref.UID]
		if owner == nil {
			owner = &vertex{object: where(ref, v.namespace), virtual: true, dependents: map[*vertex]bool{}}
			g.all[ref.UID] = owner
			tasks = append(tasks, task{uid: ref.UID})
		}
		owner.dependents[v] = true
		// An owner in another namespace is invalid, and one that waits for its
		// dependents waits for new ones, too.
		if !owner.virtual && (owner.foreground || owner.namespace != where(ref, v.namespace).namespace) {
			tasks = append(tasks, task{uid: v.uid})
		}
	}
	return tasks
}

// remove removes a deleted object, and returns tasks for its dependents and for owners that
// wait for it.
func (g *graph) remove(uid types.UID) []task {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.all[uid]
	if v == nil {
		return nil
	}
	return g.drop(v)
}

func (g *graph) drop(v *vertex) []task {
	delete(g.all, v.uid)
	tasks := v.dependentTasks()
	for i := range v.owners {
		owner := g.all[v.owners[i].UID]
		if owner == nil {
			continue
		}
		delete(owner.dependents, v)
		if owner.foreground {
			tasks = append(tasks, task{uid: owner.uid})
		}
		if owner.virtual && len(owner.dependents) == 0 {
			delete(g.all, owner.uid)
		}
	}
	return tasks
}

// absent removes an object that is not where it is said to be, and returns tasks for its
// dependents. One that an informer has delivered from another place stays.
func (g *graph) absent(o object) []task {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.all[o.uid]
	switch {
	case v == nil:
		return nil
	case v.object != o:
		return v.dependentTasks()
	}
	return g.drop(v)
}

// resolve looks up the virtual owners of unknown kinds again, after other kinds are served.
func (g *graph) resolve(where resolve) []task {
	g.mu.Lock()
	defer g.mu.Unlock()
	var tasks []task
	for uid, v := range g.all {
		if !v.virtual || v.Resource != "" {
			continue
		}
		for d := range v.dependents {
			if ref, ok := find(d.owners, uid); ok {
				v.object = where(*ref, d.namespace)
				tasks = append(tasks, task{uid: uid})
				break
			}
		}
	}
	return tasks
}

func (v *vertex) dependentTasks() []task {
	var tasks []task
	for d := range v.dependents {
		tasks = append(tasks, task{uid: d.uid})
	}
	return tasks
}

// get returns a copy of a vertex; its dependents are copies too, without theirs.
func (g *graph) get(uid types.UID) *vertex {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.all[uid]
	if v == nil {
		return nil
	}
	out := *v
	out.dependents = make(map[*vertex]bool, len(v.dependents))
	for d := range v.dependents {
		c := *d
		c.dependents = nil
		if len(d.dependents) > 0 {
			c.dependents = map[*vertex]bool{} // only whether there are any matters
			for dd := range d.dependents {
				c.dependents[dd] = true
				break
			}
		}
		out.dependents[&c] = true
	}
	return &out
}

// blocking returns the dependents that block the foreground deletion of v.
func (v *vertex) blocking() []*vertex {
	var out []*vertex
	for d := range v.dependents {
		if ref, ok := find(d.owners, v.uid); ok && blocks(ref) {
			out = append(out, d)
		}
	}
	return out
}

func find(refs []metav1.OwnerReference, uid types.UID) (*metav1.OwnerReference, bool) {
	for i := range refs {
		if refs[i].UID == uid {
			return &refs[i], true
		}
	}
	return nil, false
}

func blocks(ref *metav1.OwnerReference) bool {
	return ref != nil && ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}
