// Package namespace empties and then ends namespaces that are being deleted.
//
// It deletes every object of every namespaced kind that discovery names, pods first:
// what they use while they end stays until they have ended. It waits until all are
// gone (pods take their grace period, finalizers theirs), tells in the namespace's
// conditions what is left, and then takes the finalizer
// "kubernetes" away, on which the API server removes the namespace. It never
// touches a namespace that has no deletionTimestamp.
package namespace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"

	"wheelhouse/cluster/controller/loop"
)

// again is how soon a namespace that is not empty yet is looked at again.
const again = 500 * time.Millisecond

// Controller ends namespaces.
type Controller struct {
	*loop.Loop[string]
	client     kubernetes.Interface
	metadata   metadata.Interface
	namespaces listers.NamespaceLister
	kinds      func() ([]Resource, error)
}

// New makes the controller. meta deletes and lists objects of any kind.
func New(client kubernetes.Interface, meta metadata.Interface, f informers.SharedInformerFactory, log *slog.Logger) (*Controller, error) {
	c := &Controller{
		client: client, metadata: meta, namespaces: f.Core().V1().Namespaces().Lister(),
		kinds: func() ([]Resource, error) { return Discover(client.Discovery()) },
	}
	c.Loop = loop.New(loop.Config[string]{Name: "namespace", Workers: 4, Reconcile: c.reconcile, Log: log})
	return c, c.On(f.Core().V1().Namespaces().Informer(), loop.Each(func(n *v1.Namespace) {
		if n.DeletionTimestamp != nil {
			c.Add(n.Name)
		}
	}))
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

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
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(r.errs) > 0 {
		return errors.Join(r.errs...)
	}
	if len(r.left) > 0 {
		c.AddAfter(name, again)
		return nil
	}
	return c.finalize(ctx, ns)
}

// remains is what one round of deletion left.
type remains struct {
	discovery error
	errs      []error
	left      map[string]int // objects by resource
	holders   map[string]int // objects by finalizer
}

// empty asks for the end of all content, and counts what is still there. While there
// are pods nothing else is touched.
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

// turn is when a kind's objects go: none before all of the turn before have gone.
func turn(k Resource) int {
	if k.GroupResource() == v1.Resource("pods") {
		return 0
	}
	return 1
}

func (c *Controller) emptyKind(ctx context.Context, ns string, k Resource, r *remains) error {
	api := c.metadata.Resource(k.GroupVersionResource).Namespace(ns)
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

// ignorable: the kind went between discovery and now, or does not do this verb.
func ignorable(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err)
}

func qualified(r schema.GroupVersionResource) string {
	if r.Group == "" {
		return r.Resource + "."
	}
	return r.Resource + "." + r.Group
}

// report writes the conditions that say why the namespace is still there.
func (c *Controller) report(ctx context.Context, ns *v1.Namespace, r *remains) (*v1.Namespace, error) {
	next := ns.DeepCopy()
	changed := false
	for _, want := range conditions(r) {
		changed = setCondition(&next.Status, want) || changed
	}
	if !changed {
		return ns, nil
	}
	return c.client.CoreV1().Namespaces().UpdateStatus(ctx, next, metav1.UpdateOptions{})
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
	_, err := c.client.CoreV1().Namespaces().Finalize(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	return nil
}
