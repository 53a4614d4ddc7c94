// Package podgc deletes pods that no other component deletes: terminal ones beyond a number,
// those of nodes that no longer exist, and those that are being deleted and were never
// bound, so that no kubelet confirms the deletion.
//
// It reads all pods at intervals and when a node is deleted. It never deletes a pod that a
// kubelet still runs.
package podgc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

const (
	interval = 20 * time.Second
	// everything is the one key of this controller.
	everything = "pods"
	// Keep is how many terminal pods are kept by default, as upstream.
	Keep = 12500
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Keep     int           // terminal pods that are kept; 0 is the default Keep
	NodeGone time.Duration // how long a node must be missing before its pods are deleted; 0 is 40 s
}

// Controller is the pod garbage collector. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	pods    listers.PodLister
	nodes   listers.NodeLister
	missing map[string]time.Time // nodes that pods name and that do not exist, since when
	now     func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Keep == 0 {
		cfg.Keep = Keep
	}
	if cfg.NodeGone == 0 {
		cfg.NodeGone = 40 * time.Second
	}
	core := cfg.Informers.Core().V1()
	c := &Controller{
		Config: cfg, pods: core.Pods().Lister(), nodes: core.Nodes().Lister(),
		missing: map[string]time.Time{}, now: time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{
		Name: cfg.Controller, Workers: 1, Reconcile: c.reconcile, Log: cfg.Log, Period: time.Second,
	})
	c.Add(everything)
	c.Need(core.Pods().Informer())
	return c, errors.Join(
		c.On(core.Nodes().Informer(), loop.Changes(func(_, now **v1.Node) {
			if now == nil {
				c.AddSoon(everything)
			}
		})),
		c.On(core.Pods().Informer(), loop.Changes(func(_, now **v1.Pod) {
			if now != nil && (*now).DeletionTimestamp != nil && (*now).Spec.NodeName == "" {
				c.AddSoon(everything)
			}
		})),
	)
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	defer c.AddAfter(key, interval)
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	gone, err := c.goneNodes(ctx, pods)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range podsToDelete(pods, gone, c.Keep) {
		if err := c.delete(ctx, d); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// goneNodes returns the nodes that have pods and do not exist for at least NodeGone, as the
// API server confirms.
func (c *Controller) goneNodes(ctx context.Context, pods []*v1.Pod) (map[string]bool, error) {
	named := map[string]bool{}
	for _, p := range pods {
		if name := p.Spec.NodeName; name != "" {
			named[name] = true
		}
	}
	for name := range c.missing {
		if !named[name] {
			delete(c.missing, name)
		}
	}
	gone := map[string]bool{}
	for name := range named {
		if _, err := c.nodes.Get(name); err == nil {
			delete(c.missing, name)
			continue
		}
		since, ok := c.missing[name]
		if !ok {
			c.missing[name] = c.now()
			c.AddAfter(everything, c.NodeGone)
			continue
		}
		if c.now().Sub(since) < c.NodeGone {
			continue
		}
		_, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read node %s: %w", name, err)
		}
		gone[name] = err != nil
	}
	return gone, nil
}

// deletion is a pod to delete. A pod that is not terminal is set to Failed first, with the
// reason failed.
type deletion struct {
	pod    *v1.Pod
	failed string
}

// podsToDelete returns the pods to delete.
func podsToDelete(pods []*v1.Pod, gone map[string]bool, keep int) []deletion {
	var out []deletion
	var terminal []*v1.Pod
	for _, p := range pods {
		switch {
		case gone[p.Spec.NodeName]:
			d := deletion{pod: p}
			if !podfacts.Terminal(p) {
				d.failed = "node no longer exists"
			}
			out = append(out, d)
		case p.Spec.NodeName == "" && p.DeletionTimestamp != nil:
			out = append(out, deletion{pod: p})
		case podfacts.Terminal(p) && p.DeletionTimestamp == nil:
			terminal = append(terminal, p)
		}
	}
	if len(terminal) > keep {
		slices.SortFunc(terminal, func(a, b *v1.Pod) int {
			return a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time)
		})
		for _, p := range terminal[:len(terminal)-keep] {
			out = append(out, deletion{pod: p})
		}
	}
	return out
}

func (c *Controller) delete(ctx context.Context, d deletion) error {
	p := d.pod
	if d.failed != "" {
		next := p.DeepCopy()
		next.Status.Phase = v1.PodFailed
		next.Status.Conditions = append(slices.DeleteFunc(next.Status.Conditions, func(c v1.PodCondition) bool {
			return c.Type == v1.DisruptionTarget
		}), v1.PodCondition{
			Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: "DeletionByPodGC",
			Message: "PodGC: " + d.failed, LastTransitionTime: metav1.NewTime(c.now()),
		})
		_, err := c.Client.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("mark pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	at := int64(0)
	err := c.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &at, Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}
