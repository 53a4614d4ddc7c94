package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// holdOff is how soon an eviction that was held back is thought of again.
const holdOff = 10 * time.Second

// evictPod deletes one pod if it no longer tolerates its node.
func (c *Controller) evictPod(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	p, err := c.podLister.Pods(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.Spec.NodeName == "" || !podfacts.Active(p) {
		return nil
	}
	node, err := c.nodeLister.Get(p.Spec.NodeName)
	if apierrors.IsNotFound(err) {
		return nil // the pod garbage collector's business
	}
	if err != nil {
		return err
	}
	s := mayStay(p, node, c.EvictAfter, c.firstSeen(p))
	if s.forever {
		c.spare(p)
		return nil
	}
	if left := s.until.Sub(c.now()); left > 0 {
		c.mu.Lock()
		c.counted[p.UID] = true
		c.mu.Unlock()
		c.evict.AddAfter(key, left)
		return nil
	}
	if ready(node) != v1.ConditionTrue && !c.anyReady() {
		c.evict.AddAfter(key, holdOff)
		return nil
	}
	return c.remove(ctx, p)
}

// firstSeen is since when the pod is known to stand on a node with a taint.
func (c *Controller) firstSeen(p *v1.Pod) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.seen[p.UID]
	if !ok {
		t = c.now()
		c.seen[p.UID] = t
	}
	return t
}

// spare tells that a pod which was to go may stay: the taint is gone.
func (c *Controller) spare(p *v1.Pod) {
	c.mu.Lock()
	delete(c.seen, p.UID)
	counted := c.counted[p.UID]
	delete(c.counted, p.UID)
	c.mu.Unlock()
	if counted {
		c.Evictions.Eventf(p, v1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod %s/%s", p.Namespace, p.Name)
	}
}

// ended forgets a pod's times.
func (c *Controller) ended(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, uid)
	delete(c.counted, uid)
}

func (c *Controller) anyReady() bool {
	nodes, err := c.nodeLister.List(labels.Everything())
	if err != nil {
		return false
	}
	for _, n := range nodes {
		if ready(n) == v1.ConditionTrue {
			return true
		}
	}
	return false
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
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("evict pod: %w", err)
	}
	return nil
}

// markPods takes the pods of a node that is not ready out of service. The kubelet
// says otherwise when it is back.
func (c *Controller) markPods(ctx context.Context, node *v1.Node) error {
	pods, err := c.podsOn(node.Name)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods {
		for i := range p.Status.Conditions {
			cond := p.Status.Conditions[i]
			if cond.Type != v1.PodReady || cond.Status != v1.ConditionTrue {
				continue
			}
			cond.Status, cond.LastTransitionTime = v1.ConditionFalse, metav1.NewTime(c.now())
			if err := c.patchCondition(ctx, p, cond); err != nil {
				errs = append(errs, err)
				continue
			}
			c.Recorder.Event(p, v1.EventTypeWarning, "NodeNotReady", "Node is not ready")
		}
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
