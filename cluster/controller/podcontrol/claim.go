package podcontrol

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
	"wheelhouse/cluster/controller/loop"
)

// Owner claims objects by their labels: pods, or the revisions of a set.
type Owner struct {
	Object   metav1.Object
	Kind     schema.GroupVersionKind
	Selector labels.Selector
	// Live reads the owner from the API server, not from the cache.
	Live func(ctx context.Context) (metav1.Object, error)
	// MayAdopt reports whether an orphan is to be adopted; nil adopts all that match.
	MayAdopt func(metav1.Object) bool
	// Patch writes to a claimed object.
	Patch func(ctx context.Context, namespace, name string, patch []byte) error
	// Finalizer is added on adoption and removed on release, unless empty.
	Finalizer string
}

// PatchPods returns the Patch of an Owner of pods.
func PatchPods(c kubernetes.Interface) func(ctx context.Context, namespace, name string, patch []byte) error {
	return func(ctx context.Context, namespace, name string, patch []byte) error {
		_, err := c.CoreV1().Pods(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// claims are the objects of a namespace by what an owner does with them.
type claims[T metav1.Object] struct {
	owned   []T // controlled by the owner, and match
	adopt   []T // match, and have no controller
	release []T // controlled by the owner, and no longer match
}

// sortClaims leaves out objects of other controllers.
func sortClaims[T metav1.Object](o *Owner, all []T) claims[T] {
	var c claims[T]
	uid := o.Object.GetUID()
	deleted := o.Object.GetDeletionTimestamp() != nil
	for _, p := range all {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref != nil && ref.UID != uid {
			continue // most of a large namespace
		}
		matches := o.Selector.Matches(labels.Set(p.GetLabels()))
		switch {
		case ref != nil && matches:
			c.owned = append(c.owned, p)
		case ref != nil && !deleted:
			c.release = append(c.release, p)
		case ref == nil && matches && !deleted && p.GetDeletionTimestamp() == nil && (o.MayAdopt == nil || o.MayAdopt(p)):
			c.adopt = append(c.adopt, p)
		}
	}
	return c
}

// Claim adopts and releases objects, and returns those that the owner controls.
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
	if err := o.canAdopt(ctx); err != nil {
		return c.owned, errors.Join(append(errs, err)...)
	}
	for _, p := range c.adopt {
		err := o.adopt(ctx, p)
		if err == nil {
			c.owned = append(c.owned, p)
		} else if loop.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("adopt %s: %w", p.GetName(), err))
		}
	}
	return c.owned, errors.Join(errs...)
}

// canAdopt reads the live owner: one that is being deleted, or was replaced by another of
// its name, must not adopt.
func (o *Owner) canAdopt(ctx context.Context) error {
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

// adopt makes the owner the controller. The uid guards against another object of the name.
func (o *Owner) adopt(ctx context.Context, p metav1.Object) error {
	return o.patch(ctx, p, "finalizers", metav1.NewControllerRef(o.Object, o.Kind))
}

func (o *Owner) release(ctx context.Context, p metav1.Object) error {
	return o.patch(ctx, p, "$deleteFromPrimitiveList/finalizers", map[string]any{"$patch": "delete", "uid": o.Object.GetUID()})
}

func (o *Owner) patch(ctx context.Context, p metav1.Object, finalizers string, ref any) error {
	meta := map[string]any{"uid": p.GetUID(), "ownerReferences": []any{ref}}
	if o.Finalizer != "" {
		meta[finalizers] = []string{o.Finalizer}
	}
	patch, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	return o.Patch(ctx, p.GetNamespace(), p.GetName(), patch)
}

// ActivePod is the MayAdopt of owners that do not adopt terminal pods.
func ActivePod(o metav1.Object) bool {
	p, ok := o.(*v1.Pod)
	return ok && podfacts.Active(p)
}

// EachSelecting calls f for each owner whose selector matches the labels. A selector that
// is invalid, which validation rejects, matches nothing.
func EachSelecting[T any](owners []T, selector func(T) *metav1.LabelSelector, set map[string]string, f func(T)) {
	for _, o := range owners {
		if s, err := metav1.LabelSelectorAsSelector(selector(o)); err == nil && s.Matches(labels.Set(set)) {
			f(o)
		}
	}
}
