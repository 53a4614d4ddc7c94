package replication

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api/podfacts"
)

// Owner is who claims objects by their labels: pods, or the revisions of a set.
type Owner struct {
	Object   metav1.Object
	Kind     schema.GroupVersionKind
	Selector labels.Selector
	// Live reads the owner past the cache.
	Live func(ctx context.Context) (metav1.Object, error)
	// May says which orphans are worth adopting; nil is all of them.
	May func(metav1.Object) bool
	// Patch writes to a claimed object.
	Patch func(ctx context.Context, namespace, name string, patch []byte) error
	// Finalizer is put on what is adopted and taken from what is released, if it is set.
	Finalizer string
}

// PatchPods is an Owner's Patch for pods.
func PatchPods(c kubernetes.Interface) func(ctx context.Context, namespace, name string, patch []byte) error {
	return func(ctx context.Context, namespace, name string, patch []byte) error {
		_, err := c.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// claims sorts the objects of a namespace from one owner's view.
type claims[T metav1.Object] struct {
	owned   []T // controlled by the owner, and match
	adopt   []T // match, and nobody controls them
	release []T // controlled by the owner, and no longer match
}

// sortClaims decides whose each object is. It does not touch those of other controllers.
func sortClaims[T metav1.Object](o *Owner, all []T) claims[T] {
	var c claims[T]
	uid := o.Object.GetUID()
	dying := o.Object.GetDeletionTimestamp() != nil
	for _, p := range all {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref != nil && ref.UID != uid {
			continue // most of a large namespace
		}
		matches := o.Selector.Matches(labels.Set(p.GetLabels()))
		switch {
		case ref != nil && matches:
			c.owned = append(c.owned, p)
		case ref != nil && !dying:
			c.release = append(c.release, p)
		case ref == nil && matches && !dying && p.GetDeletionTimestamp() == nil && (o.May == nil || o.May(p)):
			c.adopt = append(c.adopt, p)
		}
	}
	return c
}

// Claim adopts and releases, and gives what is the owner's now.
func Claim[T metav1.Object](ctx context.Context, o *Owner, all []T) ([]T, error) {
	c := sortClaims(o, all)
	var errs []error
	for _, p := range c.release {
		if err := o.release(ctx, p); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Errorf("release %s: %w", p.GetName(), err))
		}
	}
	if len(c.adopt) == 0 {
		return c.owned, errors.Join(errs...)
	}
	if err := o.mayAdopt(ctx); err != nil {
		return c.owned, errors.Join(append(errs, err)...)
	}
	for _, p := range c.adopt {
		err := o.adopt(ctx, p)
		switch {
		case err == nil:
			c.owned = append(c.owned, p)
		case apierrors.IsNotFound(err):
		default:
			errs = append(errs, fmt.Errorf("adopt %s: %w", p.GetName(), err))
		}
	}
	return c.owned, errors.Join(errs...)
}

// mayAdopt looks past the cache: an owner that is being deleted, or was replaced by
// another of its name, must not gain anything.
func (o *Owner) mayAdopt(ctx context.Context) error {
	live, err := o.Live(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read before adopting: %w", err)
	case live.GetUID() != o.Object.GetUID():
		return fmt.Errorf("%s was replaced: uid is %s now, not %s", o.Object.GetName(), live.GetUID(), o.Object.GetUID())
	case live.GetDeletionTimestamp() != nil:
		return fmt.Errorf("%s is being deleted since %v", o.Object.GetName(), live.GetDeletionTimestamp())
	}
	return nil
}

// adopt makes the owner the object's controller. The uid guards against another object of the same name.
func (o *Owner) adopt(ctx context.Context, p metav1.Object) error {
	meta := map[string]any{
		"uid":             p.GetUID(),
		"ownerReferences": []any{metav1.NewControllerRef(o.Object, o.Kind)},
	}
	if o.Finalizer != "" {
		meta["finalizers"] = []string{o.Finalizer}
	}
	return o.patch(ctx, p, meta)
}

func (o *Owner) release(ctx context.Context, p metav1.Object) error {
	meta := map[string]any{
		"uid":             p.GetUID(),
		"ownerReferences": []any{map[string]any{"$patch": "delete", "uid": o.Object.GetUID()}},
	}
	if o.Finalizer != "" {
		meta["$deleteFromPrimitiveList/finalizers"] = []string{o.Finalizer}
	}
	return o.patch(ctx, p, meta)
}

func (o *Owner) patch(ctx context.Context, p metav1.Object, meta map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}
	return o.Patch(ctx, p.GetNamespace(), p.GetName(), patch)
}

// activePod is the May of owners that have no use for pods that have ended.
func activePod(o metav1.Object) bool {
	p, ok := o.(*v1.Pod)
	return ok && podfacts.Active(p)
}
