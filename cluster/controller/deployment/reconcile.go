package deployment

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// reconcile reads one Deployment with its sets, and performs the next step.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	d, err := c.deployments.Deployments(ns).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return fmt.Errorf("selector: %w", err)
	}
	if selector.Empty() {
		c.Recorder.Event(d, v1.EventTypeWarning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.")
		return nil
	}
	all, err := c.sets.ReplicaSets(ns).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list ReplicaSets: %w", err)
	}
	sets, err := podcontrol.Claim(ctx, c.owner(d, selector), all)
	if err != nil {
		return err
	}
	if to, asked := rollbackTo(d); asked && !d.Spec.Paused && d.DeletionTimestamp == nil {
		return c.rollBack(ctx, d, sets, to)
	}
	v := snapshot{d: d, sets: sets, now: c.now()}
	if d.Spec.Strategy.Type == apps.RecreateDeploymentStrategyType {
		if v.running, err = c.running(ns, selector); err != nil {
			return err
		}
	}
	return c.apply(ctx, d, decide(v))
}

func (c *Controller) owner(d *apps.Deployment, selector labels.Selector) *podcontrol.Owner {
	return &podcontrol.Owner{
		Object: d, Kind: kind, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.Client.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, namespace, name string, patch []byte) error {
			_, err := c.Client.AppsV1().ReplicaSets(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
}

// running counts the pods of each set that are not terminal, terminating ones included.
func (c *Controller) running(ns string, selector labels.Selector) (map[types.UID]int, error) {
	pods, err := c.pods.Pods(ns).List(selector)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := map[types.UID]int{}
	for _, p := range pods {
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil && !podfacts.Terminal(p) {
			out[ref.UID]++
		}
	}
	return out, nil
}

// apply performs the step: sets first, then the status that counts them.
func (c *Controller) apply(ctx context.Context, d *apps.Deployment, s step) error {
	if s.create != nil {
		if done, err := c.create(ctx, d, s); !done {
			return err
		}
	}
	for _, change := range s.changes {
		if err := c.update(ctx, d, change); err != nil {
			return err
		}
	}
	if err := c.writeStatus(ctx, d, s.deployment); err != nil {
		return err
	}
	for _, rs := range s.remove {
		err := c.Client.AppsV1().ReplicaSets(rs.Namespace).Delete(ctx, rs.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &rs.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete ReplicaSet %s: %w", rs.Name, err)
		}
	}
	if s.after > 0 {
		c.AddAfter(loop.Key(d), s.after)
	}
	return nil
}

// update writes a changed set. A conflict means that the cache was behind.
func (c *Controller) update(ctx context.Context, d *apps.Deployment, ch change) error {
	if _, err := c.Client.AppsV1().ReplicaSets(ch.set.Namespace).Update(ctx, ch.set, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update ReplicaSet %s: %w", ch.set.Name, err)
	}
	if to := size(ch.set); to != ch.from {
		c.scaled(ctx, d, ch.set.Name, ch.from, to)
	}
	return nil
}

func (c *Controller) scaled(ctx context.Context, d *apps.Deployment, set string, from, to int32) {
	direction := "up"
	if to < from {
		direction = "down"
	}
	if ctx.Err() == nil {
		c.Recorder.Eventf(d, v1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, set, from, to)
	}
}

// create creates the set of a new template, and reports whether to continue with the step.
func (c *Controller) create(ctx context.Context, d *apps.Deployment, s step) (bool, error) {
	_, err := c.Client.AppsV1().ReplicaSets(d.Namespace).Create(ctx, s.create, metav1.CreateOptions{})
	switch {
	case err == nil:
		if n := size(s.create); n > 0 {
			c.scaled(ctx, d, s.create.Name, 0, n)
		}
		return true, nil
	case apierrors.IsAlreadyExists(err):
		return false, c.exists(ctx, d, s.create)
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return false, nil
	}
	message := fmt.Sprintf("Failed to create new replica set %q: %v", s.create.Name, err)
	next := d.DeepCopy()
	createFailed(next, message, c.now())
	c.Recorder.Event(d, v1.EventTypeWarning, "ReplicaSetCreateError", message)
	if statusErr := c.writeStatus(ctx, d, next); statusErr != nil {
		return false, statusErr
	}
	return false, fmt.Errorf("create ReplicaSet %s: %w", s.create.Name, err)
}

// exists handles a set whose name exists: it is the Deployment's and the cache does not show
// it yet, or another with the same hash, in which case the next name is tried.
func (c *Controller) exists(ctx context.Context, d *apps.Deployment, wanted *apps.ReplicaSet) error {
	rs, err := c.Client.AppsV1().ReplicaSets(d.Namespace).Get(ctx, wanted.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read ReplicaSet %s, which exists: %w", wanted.Name, err)
	}
	if metav1.IsControlledBy(rs, d) && sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
		c.AddAfter(loop.Key(d), debounce)
		return nil
	}
	next := d.DeepCopy()
	var n int32
	if d.Status.CollisionCount != nil {
		n = *d.Status.CollisionCount
	}
	n++
	next.Status.CollisionCount = &n
	return c.writeStatus(ctx, d, next)
}

// writeStatus writes status and revision, if they differ. The status subresource of a
// Deployment updates its annotations, too.
func (c *Controller) writeStatus(ctx context.Context, old, next *apps.Deployment) error {
	if equality.Semantic.DeepEqual(old.Status, next.Status) && old.Annotations[revisionKey] == next.Annotations[revisionKey] {
		return nil
	}
	_, err := c.Client.AppsV1().Deployments(next.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return loop.IgnoreNotFound(err)
}
