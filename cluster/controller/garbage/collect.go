package garbage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

func (c *Controller) reconcile(ctx context.Context, t task) error {
	v := c.graph.get(t.uid)
	if v == nil {
		return nil
	}
	if t.orphan {
		return c.orphan(ctx, v)
	}
	if v.dying && !v.foreground {
		return nil // it is being deleted, and waits for no dependents
	}
	return c.collect(ctx, v)
}

func (c *Controller) api(o object) metadata.ResourceInterface {
	if o.namespace == "" {
		return c.Metadata.Resource(o.GroupVersionResource)
	}
	return c.Metadata.Resource(o.GroupVersionResource).Namespace(o.namespace)
}

// collect deletes an object when all its owners are deleted, and finishes the deletion of an
// owner that waited for its dependents. It reads from the API server: a stale cache would
// delete data.
func (c *Controller) collect(ctx context.Context, v *vertex) error {
	if v.Resource == "" {
		return nil // an owner of a kind that this cluster does not have
	}
	live, err := c.api(v.object).Get(ctx, v.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && live.UID != v.uid {
		c.addAll(c.graph.absent(v.object))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s %s: %w", v.Resource, v.name, err)
	}
	if v.virtual {
		return nil // it exists; its informer delivers it
	}
	if v.foreground {
		return c.foreground(ctx, v)
	}
	if len(live.OwnerReferences) == 0 || live.DeletionTimestamp != nil {
		return nil
	}
	s, err := c.owners(ctx, v, live.OwnerReferences)
	if err != nil {
		return err
	}
	return c.decide(ctx, v, live, s)
}

// ownerStates are the states of an object's owners.
type ownerStates struct {
	solid   int
	gone    []types.UID
	waiting []types.UID // being deleted in the foreground: they wait for the object
}

func (c *Controller) owners(ctx context.Context, v *vertex, refs []metav1.OwnerReference) (s ownerStates, err error) {
	for _, ref := range refs {
		c.reportNamespace(v, &ref)
		where := c.where(ref, v.namespace)
		if where.Resource == "" || where.namespace != "" && v.namespace == "" {
			// An unknown kind, or a namespaced owner of a cluster-scoped object: its
			// state is unknown, so the object is kept.
			s.solid++
			continue
		}
		owner := c.graph.get(ref.UID)
		if owner == nil || owner.virtual || owner.namespace != where.namespace || owner.name != ref.Name {
			live, err := c.api(where).Get(ctx, ref.Name, metav1.GetOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return s, fmt.Errorf("read owner %s %s: %w", ref.Kind, ref.Name, err)
			}
			if err != nil || live.UID != ref.UID {
				s.gone = append(s.gone, ref.UID)
				continue
			}
			owner = &vertex{foreground: live.DeletionTimestamp != nil && slices.Contains(live.Finalizers, metav1.FinalizerDeleteDependents)}
		}
		if owner.foreground {
			s.waiting = append(s.waiting, ref.UID)
		} else {
			s.solid++
		}
	}
	return s, nil
}

// reportNamespace records an event if an owner of the object is in another namespace: there it is no owner, and
// the object may be deleted for lack of one.
func (c *Controller) reportNamespace(v *vertex, ref *metav1.OwnerReference) {
	owner := c.graph.get(ref.UID)
	if owner == nil || owner.virtual || owner.namespace == "" || owner.namespace == v.namespace {
		return
	}
	at := &v1.ObjectReference{APIVersion: v.GroupVersion().String(), Namespace: v.namespace, Name: v.name, UID: v.uid}
	for gk, k := range *c.kinds.Load() {
		if k.GroupVersionResource == v.GroupVersionResource {
			at.Kind = gk.Kind
		}
	}
	c.Recorder.Eventf(at, v1.EventTypeWarning, "OwnerRefInvalidNamespace", "ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace %q",
		ref.APIVersion, ref.Kind, v.namespace, ref.Name, ref.UID, v.namespace)
}

func (c *Controller) decide(ctx context.Context, v *vertex, live *metav1.PartialObjectMetadata, s ownerStates) error {
	leave := append(slices.Clone(s.gone), s.waiting...)
	if s.solid > 0 {
		if len(leave) == 0 {
			return nil
		}
		return c.dropOwners(ctx, v.object, leave)
	}
	policy := metav1.DeletePropagationBackground
	switch {
	case slices.Contains(live.Finalizers, metav1.FinalizerOrphanDependents):
		policy = metav1.DeletePropagationOrphan
	case slices.Contains(live.Finalizers, metav1.FinalizerDeleteDependents):
		policy = metav1.DeletePropagationForeground
	case len(s.waiting) > 0 && len(v.dependents) > 0:
		// The whole tree is deleted bottom up. In a cycle that would block indefinitely, so
		// a dependent that is being deleted already must not block.
		policy = metav1.DeletePropagationForeground
		for d := range v.dependents {
			if d.foreground {
				policy = metav1.DeletePropagationBackground
			}
		}
	}
	err := c.api(v.object).Delete(ctx, v.name, metav1.DeleteOptions{
		PropagationPolicy: &policy,
		Preconditions:     &metav1.Preconditions{UID: &v.uid},
	})
	if apierrors.IsNotFound(err) {
		c.addAll(c.graph.remove(v.uid))
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s %s/%s: %w", v.Resource, v.namespace, v.name, err)
	}
	c.Log.Debug("deleted: its owners are gone", "resource", v.Resource, "namespace", v.namespace, "name", v.name, "policy", policy)
	return nil
}

// foreground finishes the deletion of an owner when no dependent blocks it any more.
func (c *Controller) foreground(ctx context.Context, v *vertex) error {
	blocking := v.blocking()
	if len(blocking) == 0 {
		return c.dropFinalizer(ctx, v.object, metav1.FinalizerDeleteDependents)
	}
	for _, d := range blocking {
		if !d.dying {
			c.Add(task{uid: d.uid})
		}
	}
	return nil
}

// orphan removes the references of the dependents, and then finishes the owner's deletion.
func (c *Controller) orphan(ctx context.Context, v *vertex) error {
	var errs []error
	for d := range v.dependents {
		if err := c.dropOwners(ctx, d.object, []types.UID{v.uid}); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return c.dropFinalizer(ctx, v.object, metav1.FinalizerOrphanDependents)
}

// dropOwners removes owner references. It sends the remaining list with uid and
// resourceVersion as preconditions, which works for every kind.
func (c *Controller) dropOwners(ctx context.Context, o object, uids []types.UID) error {
	return c.edit(ctx, o, func(m *metav1.PartialObjectMetadata) (map[string]any, bool) {
		refs := slices.DeleteFunc(slices.Clone(m.OwnerReferences), func(r metav1.OwnerReference) bool {
			return slices.Contains(uids, r.UID)
		})
		return map[string]any{"ownerReferences": refs}, len(refs) != len(m.OwnerReferences)
	})
}

func (c *Controller) dropFinalizer(ctx context.Context, o object, name string) error {
	return c.edit(ctx, o, func(m *metav1.PartialObjectMetadata) (map[string]any, bool) {
		left := slices.DeleteFunc(slices.Clone(m.Finalizers), func(f string) bool { return f == name })
		return map[string]any{"finalizers": left}, len(left) != len(m.Finalizers)
	})
}

// edit patches an object's metadata from its present state.
func (c *Controller) edit(ctx context.Context, o object, change func(*metav1.PartialObjectMetadata) (map[string]any, bool)) error {
	live, err := c.api(o).Get(ctx, o.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && live.UID != o.uid {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s %s: %w", o.Resource, o.name, err)
	}
	meta, changed := change(live)
	if !changed {
		return nil
	}
	meta["uid"], meta["resourceVersion"] = live.UID, live.ResourceVersion
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	_, err = c.api(o).Patch(ctx, o.name, types.MergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch %s %s: %w", o.Resource, o.name, err)
	}
	return nil
}
