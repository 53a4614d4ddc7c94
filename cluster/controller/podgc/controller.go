// Package podgc deletes pods that nobody else will: ended ones beyond a number,
// those of nodes that no longer exist, and those that are being deleted but never
// had a node whose kubelet could say that they are gone.
//
// It looks at all pods together, at intervals and when a node goes.
package podgc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

const (
	interval = 20 * time.Second
	// everything is the one key of this controller.
	everything = "pods"
	// Keep is how many ended pods stay by default, as upstream.
	Keep = 12500
)

// Config is what the controller works with.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Keep      int           // ended pods that may stay; 0 is the default Keep
	NodeGone  time.Duration // how long a node must be missing before its pods go; 0 is 40 s
	Log       *slog.Logger
}

// Controller deletes pods.
type Controller struct {
	*loop.Loop[string]
	Config
	pods    listers.PodLister
	nodes   listers.NodeLister
	missing map[string]time.Time // nodes that pods name and that do not exist, since when
	now     func() time.Time
}

// New makes the controller; nothing runs before Run.
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
		Name: "podgc", Workers: 1, Reconcile: c.reconcile, Log: cfg.Log, Period: time.Second,
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

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

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
	for _, d := range doomed(pods, gone, c.Keep) {
		if err := c.delete(ctx, d); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// goneNodes are the names of nodes that pods are on and that have been missing for
// long enough, by the API server's own word.
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

// condemned is a pod to delete; failed says that it has to be marked so first,
// because it never ended and nobody else will say so.
type condemned struct {
	pod    *v1.Pod
	failed string
}

// doomed picks the pods to delete.
func doomed(pods []*v1.Pod, gone map[string]bool, keep int) []condemned {
	var out []condemned
	var ended []*v1.Pod
	for _, p := range pods {
		switch {
		case gone[p.Spec.NodeName]:
			d := condemned{pod: p}
			if !podfacts.Terminal(p) {
				d.failed = "node no longer exists"
			}
			out = append(out, d)
		case p.Spec.NodeName == "" && p.DeletionTimestamp != nil:
			out = append(out, condemned{pod: p})
		case podfacts.Terminal(p) && p.DeletionTimestamp == nil:
			ended = append(ended, p)
		}
	}
	if len(ended) > keep {
		slices.SortFunc(ended, func(a, b *v1.Pod) int {
			return a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time)
		})
		for _, p := range ended[:len(ended)-keep] {
			out = append(out, condemned{pod: p})
		}
	}
	return out
}

func (c *Controller) delete(ctx context.Context, d condemned) error {
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
