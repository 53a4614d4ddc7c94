package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// evictionRetry is when an eviction is retried that was suspended because no node is ready.
const evictionRetry = 10 * time.Second

// evictPod deletes one pod if it no longer tolerates its node.
func (c *Controller) evictPod(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	p, err := c.podLister.Pods(ns).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if p.Spec.NodeName == "" || !podfacts.Active(p) {
		return nil
	}
	node, err := c.nodeLister.Get(p.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return nil // the pod garbage collector deletes the pod
	}
	if err != nil {
		return err
	}
	s := toleratedUntil(p, node, c.EvictAfter, c.firstSeen(p))
	if s.indefinitely {
		c.cancel(p)
		return nil
	}
	if left := c.untilEviction(p.UID, s.until); left > 0 {
		c.evict.AddAfter(key, left)
		return nil
	}
	if ready(node) != v1.ConditionTrue && !c.anyReady() {
		c.evict.AddAfter(key, evictionRetry)
		return nil
	}
	return c.remove(ctx, p)
}

// eviction is when a pod is evicted: by the clock, and by the controller's uptime.
type eviction struct {
	until time.Time
	at    time.Duration
}

// untilEviction returns the time until a pod is evicted. It passes as since the first look, not with the clock: on a machine without
// a battery for it, the clock is set by months when the network is there, and nodes are not yet.
func (c *Controller) untilEviction(uid types.UID, until time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.evicting[uid]
	if !ok || !e.until.Equal(until) {
		e = eviction{until, c.uptime() + until.Sub(c.now())}
		c.evicting[uid] = e
	}
	return e.at - c.uptime()
}

// firstSeen returns since when the pod is known to be on a node with a taint.
func (c *Controller) firstSeen(p *v1.Pod) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tolerating[p.UID]
	if !ok {
		t = c.now()
		c.tolerating[p.UID] = t
	}
	return t
}

// cancel records that the eviction of a pod is cancelled: the taint was removed.
func (c *Controller) cancel(p *v1.Pod) {
	c.mu.Lock()
	delete(c.tolerating, p.UID)
	_, evicting := c.evicting[p.UID]
	delete(c.evicting, p.UID)
	c.mu.Unlock()
	if evicting {
		c.Evictions.Eventf(p, v1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s/%s", p.Namespace, p.Name)
	}
}

// forget removes what is recorded of a deleted pod.
func (c *Controller) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tolerating, uid)
	delete(c.evicting, uid)
}

func (c *Controller) anyReady() bool {
	return slices.ContainsFunc(loop.All(c.Log, c.nodeLister.List), func(n *v1.Node) bool { return ready(n) == v1.ConditionTrue })
}

func (c *Controller) remove(ctx context.Context, p *v1.Pod) error {
	c.Evictions.Eventf(p, v1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod %s/%s", p.Namespace, p.Name)
	err := c.patchCondition(ctx, p, v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: "DeletionByTaintManager",
		Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.NewTime(c.now()),
	})
	if err != nil {
		return err
	}
	err = c.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if loop.IgnoreNotFound(err) != nil {
		return fmt.Errorf("evict pod: %w", err)
	}
	return nil
}

// markPods sets the pods of a node that is not ready not ready, until the kubelet reports
// again.
func (c *Controller) markPods(ctx context.Context, node *v1.Node) error {
	var errs []error
	for _, p := range c.podsOn(node.Name) {
		if !podfacts.Ready(p) {
			continue
		}
		cond := *podfacts.Condition(p, v1.PodReady)
		cond.Status, cond.LastTransitionTime = v1.ConditionFalse, metav1.NewTime(c.now())
		if err := c.patchCondition(ctx, p, cond); err != nil {
			errs = append(errs, err)
			continue
		}
		c.Recorder.Event(p, v1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	}
	return errors.Join(errs...)
}

func (c *Controller) patchCondition(ctx context.Context, p *v1.Pod, cond v1.PodCondition) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.UID},
		"status":   map[string]any{"conditions": []v1.PodCondition{cond}},
	})
	if err != nil {
		return fmt.Errorf("encode condition: %w", err)
	}
	_, err = c.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write condition of pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}
