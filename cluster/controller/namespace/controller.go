// Package namespace deletes the content of namespaces that are being deleted.
//
// It deletes every object of every namespaced kind that discovery lists, pods first: what
// they use while they terminate stays until they are deleted. It waits until nothing is left
// (pods have a grace period, objects have finalizers), writes what remains to the
// namespace's conditions, and then removes the finalizer "kubernetes", on which the API
// server deletes the namespace. It never touches a namespace without deletionTimestamp.
package namespace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"

	"wheelhouse/cluster/controller/loop"
)

// requeueAfter is when a namespace that is not empty yet is reconciled again.
const requeueAfter = 500 * time.Millisecond

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Metadata metadata.Interface // lists and deletes objects of any kind
}

// Controller is the namespace controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	namespaces listers.NamespaceLister
	kinds      func() ([]Resource, error)
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	c := &Controller{
		Config: cfg, namespaces: cfg.Informers.Core().V1().Namespaces().Lister(),
		kinds: func() ([]Resource, error) { return Discover(cfg.Client.Discovery()) },
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 4, Reconcile: c.reconcile, Log: cfg.Log})
	return c, c.On(cfg.Informers.Core().V1().Namespaces().Informer(), loop.Each(func(n *v1.Namespace) {
		if n.DeletionTimestamp != nil {
			c.Add(n.Name)
		}
	}))
}

func (c *Controller) reconcile(ctx context.Context, name string) error {
	ns, err := c.namespaces.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || ns.DeletionTimestamp == nil {
		return err
	}
	if !slices.Contains(ns.Spec.Finalizers, v1.FinalizerKubernetes) {
		return nil
	}
	r := c.empty(ctx, name)
	ns, err = c.report(ctx, ns, &r)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if len(r.errs) > 0 {
		return errors.Join(r.errs...)
	}
	if len(r.left) > 0 {
		c.AddAfter(name, requeueAfter)
		return nil
	}
	return c.finalize(ctx, ns)
}

// remains is what is left after one reconcile.
type remains struct {
	discovery error
	errs      []error
	left      map[string]int // objects by resource
	holders   map[string]int // objects by finalizer
}

// empty deletes all content, and counts what is left. While there are pods nothing else is
// deleted.
func (c *Controller) empty(ctx context.Context, ns string) remains {
	r := remains{left: map[string]int{}, holders: map[string]int{}}
	kinds, err := c.kinds()
	if err != nil {
		r.discovery = err
		r.errs = append(r.errs, fmt.Errorf("discover kinds: %w", err))
	}
	kinds = slices.DeleteFunc(kinds, func(k Resource) bool { return !k.Namespaced })
	slices.SortStableFunc(kinds, func(a, b Resource) int { return cmp.Compare(turn(a), turn(b)) })
	known := len(r.errs)
	for i, k := range kinds {
		if i > 0 && turn(k) > turn(kinds[i-1]) && (len(r.left) > 0 || len(r.errs) > known) {
			break
		}
		if err := c.emptyKind(ctx, ns, k, &r); err != nil {
			r.errs = append(r.errs, fmt.Errorf("delete %s: %w", k.Resource, err))
		}
	}
	return r
}

// turn orders the kinds: none is deleted before all of an earlier turn are gone.
func turn(k Resource) int {
	if k.GroupResource() == v1.Resource("pods") {
		return 0
	}
	return 1
}

func (c *Controller) emptyKind(ctx context.Context, ns string, k Resource, r *remains) error {
	api := c.Metadata.Resource(k.GroupVersionResource).Namespace(ns)
	list, err := api.List(ctx, metav1.ListOptions{})
	if ignorable(err) {
		return nil
	}
	if err != nil || len(list.Items) == 0 {
		return err
	}
	background := metav1.DeletePropagationBackground
	opts := metav1.DeleteOptions{PropagationPolicy: &background}
	if k.DeleteCollection {
		err = api.DeleteCollection(ctx, opts, metav1.ListOptions{})
	} else {
		for i := range list.Items {
			if e := api.Delete(ctx, list.Items[i].Name, opts); e != nil && !apierrors.IsNotFound(e) {
				err = e
			}
		}
	}
	if err != nil && !ignorable(err) {
		return err
	}
	if list, err = api.List(ctx, metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		return err
	}
	r.left[qualified(k.GroupVersionResource)] = len(list.Items)
	for i := range list.Items {
		for _, f := range list.Items[i].Finalizers {
			r.holders[f]++
		}
	}
	return nil
}

// ignorable reports whether the kind was removed since discovery, or has not this verb.
func ignorable(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

func qualified(r schema.GroupVersionResource) string {
	if r.Group == "" {
		return r.Resource + "."
	}
	return r.Resource + "." + r.Group
}

// report writes the conditions: why the namespace is not deleted yet.
func (c *Controller) report(ctx context.Context, ns *v1.Namespace, r *remains) (*v1.Namespace, error) {
	next := ns.DeepCopy()
	changed := false
	for _, want := range conditions(r) {
		changed = setCondition(&next.Status, want) || changed
	}
	if !changed {
		return ns, nil
	}
	return c.Client.CoreV1().Namespaces().UpdateStatus(ctx, next, metav1.UpdateOptions{})
}

func conditions(r *remains) []v1.NamespaceCondition {
	one := func(t v1.NamespaceConditionType, bad bool, badReason, badMessage, goodReason, goodMessage string) v1.NamespaceCondition {
		c := v1.NamespaceCondition{Type: t, Status: v1.ConditionFalse, Reason: goodReason, Message: goodMessage}
		if bad {
			c.Status, c.Reason, c.Message = v1.ConditionTrue, badReason, badMessage
		}
		return c
	}
	deleteErr := errors.Join(r.errs...)
	return []v1.NamespaceCondition{
		one(v1.NamespaceDeletionDiscoveryFailure, r.discovery != nil, "DiscoveryFailed", text(r.discovery),
			"ResourcesDiscovered", "All resources successfully discovered"),
		one(v1.NamespaceDeletionContentFailure, deleteErr != nil, "ContentDeletionFailed", text(deleteErr),
			"ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		one(v1.NamespaceContentRemaining, len(r.left) > 0, "SomeResourcesRemain",
			"Some resources are remaining: "+counts(r.left, "%s has %d resource instances"),
			"ContentRemoved", "All content successfully removed"),
		one(v1.NamespaceFinalizersRemaining, len(r.holders) > 0, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+counts(r.holders, "%s in %d resource instances"),
			"ContentHasNoFinalizers", "All content-preserving finalizers finished"),
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func counts(m map[string]int, format string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf(format, k, m[k]))
	}
	return strings.Join(parts, ", ")
}

func setCondition(s *v1.NamespaceStatus, want v1.NamespaceCondition) bool {
	want.LastTransitionTime = metav1.Now()
	for i := range s.Conditions {
		have := &s.Conditions[i]
		if have.Type != want.Type {
			continue
		}
		if have.Status == want.Status {
			want.LastTransitionTime = have.LastTransitionTime
		}
		changed := *have != want
		*have = want
		return changed
	}
	s.Conditions = append(s.Conditions, want)
	return true
}

func (c *Controller) finalize(ctx context.Context, ns *v1.Namespace) error {
	next := ns.DeepCopy()
	next.Spec.Finalizers = slices.DeleteFunc(next.Spec.Finalizers, func(f v1.FinalizerName) bool {
		return f == v1.FinalizerKubernetes
	})
	_, err := c.Client.CoreV1().Namespaces().Finalize(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	return nil
}
