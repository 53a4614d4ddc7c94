// Package disruption writes the status of PodDisruptionBudgets: how many of the pods
// that a budget covers may be evicted now.
//
// It only counts. The API server's eviction decrements the number in the status, adds the
// pod to disruptedPods and deletes it; this package counts again when the pod is deleted.
package disruption

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// debounce is the minimum time between two reconciles of one budget.
const debounce = 50 * time.Millisecond

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the disruption controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	budgets policylisters.PodDisruptionBudgetLister
	pods    listers.PodLister
	owners  *owners
	now     func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	f := cfg.Informers
	budgets, pods := f.Policy().V1().PodDisruptionBudgets(), f.Core().V1().Pods()
	c := &Controller{Config: cfg, budgets: budgets.Lister(), pods: pods.Lister(), owners: newOwners(cfg.Client, f), now: time.Now}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 2, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	c.Need(c.owners.informers(f)...)
	return c, errors.Join(
		c.On(budgets.Informer(), loop.Each(func(b *policy.PodDisruptionBudget) { c.AddSoon(loop.Key(b)) })),
		c.On(pods.Informer(), loop.Changes(c.podChanged)),
	)
}

// podChanged enqueues the budgets that cover the old or the new state of the pod.
func (c *Controller) podChanged(old, now **v1.Pod) {
	if old != nil && now != nil && !concerns(*old, *now) {
		return
	}
	p := old
	if p == nil {
		p = now
	}
	for _, b := range loop.All(c.Log, c.budgets.PodDisruptionBudgets((*p).Namespace).List) {
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

// concerns reports whether a budget can count two states of a pod differently.
func concerns(old, now *v1.Pod) bool {
	return podfacts.Ready(old) != podfacts.Ready(now) || (old.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) ||
		!maps.Equal(old.Labels, now.Labels) || !equality.Semantic.DeepEqual(old.OwnerReferences, now.OwnerReferences)
}

// reconcile counts for one budget. If the count fails, no disruption is allowed.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	b, err := c.budgets.PodDisruptionBudgets(ns).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
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
		c.Recorder.Event(b, v1.EventTypeNormal, "NoPods", "No matching pods found")
	}
	n := int32(len(pods))
	if needsScale(b) {
		if n, err = c.expectedPods(ctx, b, pods); err != nil {
			c.Recorder.Eventf(b, v1.EventTypeWarning, "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %v", err)
			return none, err
		}
	}
	s := counted(b, pods, n, c.now())
	for _, p := range s.notDeleted {
		c.Recorder.Eventf(p, v1.EventTypeWarning, "NotDeleted", "Pod was expected by PDB %s/%s to be deleted but it wasn't", b.Namespace, b.Name)
	}
	if s.requeueAfter > 0 {
		c.AddAfter(loop.Key(b), s.requeueAfter)
	}
	return s.status, nil
}

// expectedPods returns the sum of the replicas of the pods' owners. Pods without a
// controller get an event.
func (c *Controller) expectedPods(ctx context.Context, b *policy.PodDisruptionBudget, pods []*v1.Pod) (int32, error) {
	n, unmanaged, err := c.owners.expectedPods(ctx, pods)
	if unmanaged > 0 {
		c.Recorder.Eventf(b, v1.EventTypeWarning, "UnmanagedPods",
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
	_, err := c.Client.PolicyV1().PodDisruptionBudgets(b.Namespace).UpdateStatus(ctx, b, metav1.UpdateOptions{})
	return loop.IgnoreNotFound(err)
}
