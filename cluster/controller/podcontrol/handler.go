package podcontrol

import (
	"maps"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
)

// PodHandler finds the owner of one kind that a change of a pod concerns.
type PodHandler struct {
	Kind   schema.GroupVersionKind
	Expect *Expectations // nil: the controller has none
	// Enqueue requests a reconcile of the owner with that key, which may be deleted.
	Enqueue func(key string)
	// Orphan enqueues the owners that could adopt a pod without a controller.
	Orphan func(p *v1.Pod)
}

// Handler returns the handler for the informer of pods.
func (h *PodHandler) Handler() cache.ResourceEventHandler { return loop.Changes(h.changed) }

func (h *PodHandler) changed(old, now **v1.Pod) {
	switch {
	case now == nil:
		h.deleted(*old)
	case old == nil && (*now).DeletionTimestamp != nil:
		h.deleted(*now)
	case old == nil:
		key, ok := OwnerKey(*now, h.Kind)
		if !ok {
			h.orphan(*now)
			return
		}
		if h.Expect != nil {
			h.Expect.Created(key, 1)
		}
		h.Enqueue(key)
	case (*old).ResourceVersion != (*now).ResourceVersion:
		h.updated(*old, *now)
	}
}

func (h *PodHandler) deleted(p *v1.Pod) {
	if key, ok := OwnerKey(p, h.Kind); ok {
		if h.Expect != nil {
			h.Expect.Deleted(key, p.UID)
		}
		h.Enqueue(key)
	}
}

func (h *PodHandler) updated(old, now *v1.Pod) {
	oldKey, hadOwner := OwnerKey(old, h.Kind)
	key, hasOwner := OwnerKey(now, h.Kind)
	if hadOwner && oldKey != key {
		h.Enqueue(oldKey)
	}
	switch {
	case hasOwner && now.DeletionTimestamp != nil:
		h.deleted(now)
	case hasOwner:
		h.Enqueue(key)
	case hadOwner || !maps.Equal(old.Labels, now.Labels):
		h.orphan(now)
	}
}

func (h *PodHandler) orphan(p *v1.Pod) {
	if metav1.GetControllerOfNoCopy(p) == nil {
		h.Orphan(p)
	}
}

// OwnerKey returns the key of the object of the kind that controls o. It may be deleted.
func OwnerKey(o metav1.Object, kind schema.GroupVersionKind) (string, bool) {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil || ref.Kind != kind.Kind || ref.APIVersion != kind.GroupVersion().String() {
		return "", false
	}
	return o.GetNamespace() + "/" + ref.Name, true
}
