// Package disruption writes the status of PodDisruptionBudgets: how many of the pods
// that a budget covers may be evicted now.
//
// It only counts. The API server's eviction takes from the number in the status, notes
// the pod in disruptedPods, and deletes it; this package counts anew when the pod goes.
package disruption

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// settle is how long pod changes are gathered into one count.
const settle = 50 * time.Millisecond

// Controller is made with New.
type Controller struct {
	*loop.Loop[string]
	client   kubernetes.Interface
	budgets  policylisters.PodDisruptionBudgetLister
	pods     listers.PodLister
	owners   *owners
	recorder record.EventRecorder
	now      func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	budgets, pods := f.Policy().V1().PodDisruptionBudgets(), f.Core().V1().Pods()
	c := &Controller{
		client: client, budgets: budgets.Lister(), pods: pods.Lister(),
		owners: newOwners(client, f), recorder: recorder, now: time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: "disruption", Workers: 2, Reconcile: c.reconcile, Log: log, Period: settle})
	for _, i := range c.owners.informers(f) {
		c.Need(i)
	}
	return c, errors.Join(
		c.On(budgets.Informer(), loop.Each(func(b *policy.PodDisruptionBudget) { c.AddSoon(loop.Key(b)) })),
		c.On(pods.Informer(), loop.Changes(c.podChanged)),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// podChanged wakes the budgets that cover the pod, or did.
func (c *Controller) podChanged(old, now **v1.Pod) {
	if old != nil && now != nil && !concerns(*old, *now) {
		return
	}
	p := old
	if p == nil {
		p = now
	}
	all, err := c.budgets.PodDisruptionBudgets((*p).Namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, b := range all {
		if covers(b, old) || covers(b, now) {
			c.AddSoon(loop.Key(b))
		}
	}
}

func covers(b *policy.PodDisruptionBudget, p **v1.Pod) bool {
	if p == nil {
		return false
	}
	s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && s.Matches(labels.Set((*p).Labels))
}

// concerns says whether a budget can count two states of a pod differently.
func concerns(old, now *v1.Pod) bool {
	return podfacts.Ready(old) != podfacts.Ready(now) || (old.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(old.Labels, now.Labels) || !equality.Semantic.DeepEqual(old.OwnerReferences, now.OwnerReferences)
}

// reconcile counts for one budget. What cannot be counted allows no disruption.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	b, err := c.budgets.PodDisruptionBudgets(ns).Get(name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	next, err := c.count(ctx, b)
	if err == nil {
		return c.write(ctx, b, next)
	}
	if writeErr := c.write(ctx, b, failed(b, err, c.now())); writeErr != nil {
		return writeErr
	}
	return err
}

func (c *Controller) count(ctx context.Context, b *policy.PodDisruptionBudget) (policy.PodDisruptionBudgetStatus, error) {
	var none policy.PodDisruptionBudgetStatus
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return none, fmt.Errorf("selector: %w", err)
	}
	pods, err := c.pods.Pods(b.Namespace).List(selector)
	if err != nil {
		return none, fmt.Errorf("list pods: %w", err)
	}
	if len(pods) == 0 {
		c.recorder.Event(b, v1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	n := int32(len(pods))
	if needsScale(b) {
		if n, err = c.scale(ctx, b, pods); err != nil {
			c.recorder.Eventf(b, v1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
			return none, err
		}
	}
	s := counted(b, pods, n, c.now())
	for _, p := range s.kept {
		c.recorder.Eventf(p, v1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Name)
	}
	if s.after > 0 {
		c.AddAfter(loop.Key(b), s.after)
	}
	return s.status, nil
}

// scale is how many pods all owners of the pods want, and tells of pods without owner.
func (c *Controller) scale(ctx context.Context, b *policy.PodDisruptionBudget, pods []*v1.Pod) (int32, error) {
	n, unmanaged, err := c.owners.scale(ctx, pods)
	if unmanaged > 0 {
		c.recorder.Eventf(b, v1.EventTypeWarning, "UnmanagedPods",
			"Pods selected by this PodDisruptionBudget (selector: %v) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, "+
				"which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
			metav1.FormatLabelSelector(b.Spec.Selector))
	}
	return n, err
}

func (c *Controller) write(ctx context.Context, b *policy.PodDisruptionBudget, next policy.PodDisruptionBudgetStatus) error {
	if equality.Semantic.DeepEqual(b.Status, next) {
		return nil
	}
	b = b.DeepCopy()
	b.Status = next
	_, err := c.client.PolicyV1().PodDisruptionBudgets(b.Namespace).UpdateStatus(ctx, b, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
