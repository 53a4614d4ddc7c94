package replication

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Router tells the sets of one kind of the changes of their pods.
type Router struct {
	Kind   schema.GroupVersionKind
	Expect *Expectations // nil: the controller has none
	// Wake asks for a reconcile of the set of that key, which may be gone.
	Wake func(key string)
	// Orphan wakes the sets that could adopt a pod that nobody controls.
	Orphan func(p *v1.Pod)
}

// Changed is for loop.Changes.
func (r *Router) Changed(old, now **v1.Pod) {
	switch {
	case now == nil:
		r.gone(*old)
	case old == nil && (*now).DeletionTimestamp != nil:
		r.gone(*now)
	case old == nil:
		if key, ok := r.Owner(*now); ok {
			if r.Expect != nil {
				r.Expect.Created(key, 1)
			}
			r.Wake(key)
			return
		}
		r.orphan(*now)
	default:
		r.updated(*old, *now)
	}
}

func (r *Router) gone(p *v1.Pod) {
	if key, ok := r.Owner(p); ok {
		if r.Expect != nil {
			r.Expect.Deleted(key, p.UID)
		}
		r.Wake(key)
	}
}

func (r *Router) updated(old, now *v1.Pod) {
	if old.ResourceVersion == now.ResourceVersion {
		return
	}
	was, hadOwner := r.Owner(old)
	key, hasOwner := r.Owner(now)
	if hadOwner && was != key {
		r.Wake(was)
	}
	if hasOwner {
		if now.DeletionTimestamp != nil && r.Expect != nil {
			r.Expect.Deleted(key, now.UID)
		}
		r.Wake(key)
		return
	}
	if hadOwner || !equality.Semantic.DeepEqual(old.Labels, now.Labels) {
		r.orphan(now)
	}
}

func (r *Router) orphan(p *v1.Pod) {
	if metav1.GetControllerOfNoCopy(p) == nil {
		r.Orphan(p)
	}
}

// Owner is the key of the set of the kind that controls p. The set may be gone.
func (r *Router) Owner(p *v1.Pod) (string, bool) {
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || ref.Kind != r.Kind.Kind || ref.APIVersion != r.Kind.GroupVersion().String() {
		return "", false
	}
	return p.Namespace + "/" + ref.Name, true
}
