package daemonset

import (
	"context"
	"errors"
	"fmt"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// reconcile creates and deletes pods of one set, and writes its status.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	ds, err := c.sets.DaemonSets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		c.control.Forget(key)
	}
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector)
	if err != nil {
		return nil //nolint:nilerr // validation rejects it; a retry would not help
	}
	if selector.Empty() {
		c.Recorder.Event(ds, v1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return nil
	}
	met := c.control.Met(key)
	set := c.historySet(ds, selector)
	present, all, collisions, err := c.history.Sync(ctx, set)
	if err != nil || present == nil {
		return err
	}
	s, err := c.observe(ctx, set, ds, present)
	if err != nil {
		return err
	}
	for _, r := range all {
		if history.Same(r, present) {
			s.equal[r.Labels[apps.DefaultDaemonSetUniqueLabelKey]] = true
		}
	}
	observed := ds.Status.ObservedGeneration
	var failed error
	if met && ds.DeletionTimestamp == nil {
		observed = ds.Generation
		if failed = c.step(ctx, key, s); failed == nil {
			failed = c.truncate(ctx, set, s, all, present)
		}
	}
	return errors.Join(failed, c.writeStatus(ctx, s, collisions, observed))
}

func (c *Controller) historySet(ds *apps.DaemonSet, selector labels.Selector) *history.Set {
	return &history.Set{
		Owner: podcontrol.Owner{
			Object: ds, Kind: kind, Selector: selector, Patch: podcontrol.PatchPods(c.Client),
			Live: func(ctx context.Context) (metav1.Object, error) {
				return c.Client.AppsV1().DaemonSets(ds.Namespace).Get(ctx, ds.Name, metav1.GetOptions{})
			},
		},
		Template: &ds.Spec.Template, HashLabel: apps.DefaultDaemonSetUniqueLabelKey,
		Collisions: ptr.Deref(ds.Status.CollisionCount, 0), Limit: ds.Spec.RevisionHistoryLimit,
	}
}

// observe reads nodes and pods, and adopts and releases pods.
func (c *Controller) observe(ctx context.Context, set *history.Set, ds *apps.DaemonSet, present *apps.ControllerRevision) (*snapshot, error) {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	all, err := c.pods.Pods(ds.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	owned, err := podcontrol.Claim(ctx, &set.Owner, all)
	if err != nil {
		return nil, err
	}
	return &snapshot{
		ds: ds, nodes: nodes, pods: byNode(owned), now: c.now(),
		hash: present.Labels[apps.DefaultDaemonSetUniqueLabelKey], equal: map[string]bool{},
	}, nil
}

// step creates and deletes pods by node; if there was nothing to do, it continues a rolling
// update.
func (c *Controller) step(ctx context.Context, key string, s *snapshot) error {
	w := s.place()
	w.delete = append(w.delete, c.replaceable(key, s, w.terminal)...)
	if err := c.apply(ctx, key, s, w); err != nil {
		return err
	}
	if !c.control.Met(key) || s.ds.Spec.UpdateStrategy.Type != apps.RollingUpdateDaemonSetStrategyType {
		return nil
	}
	return c.apply(ctx, key, s, s.update())
}

// replaceable returns the terminal pods whose node is not in backoff, with an event each.
func (c *Controller) replaceable(key string, s *snapshot, terminal []*v1.Pod) []*v1.Pod {
	var out []*v1.Pod
	for _, p := range terminal {
		if p.Status.Phase == v1.PodSucceeded {
			c.Recorder.Eventf(s.ds, v1.EventTypeNormal, "SucceededDaemonPod",
				"Found succeeded daemon pod %s/%s on node %s, will try to delete it", p.Namespace, p.Name, p.Spec.NodeName)
			out = append(out, p)
			continue
		}
		id := fmt.Sprintf("%s/%s/%s", s.ds.UID, s.hash, p.Spec.NodeName)
		if c.backoff.IsInBackOffSinceUpdate(id, s.now) {
			c.AddAfter(key, c.backoff.Get(id))
			continue
		}
		c.backoff.Next(id, s.now)
		c.Recorder.Eventf(s.ds, v1.EventTypeWarning, "FailedDaemonPod",
			"Found failed daemon pod %s/%s on node %s, will try to kill it", p.Namespace, p.Name, p.Spec.NodeName)
		out = append(out, p)
	}
	c.backoff.GC()
	return out
}

// apply creates and deletes pods, at most burst of each.
func (c *Controller) apply(ctx context.Context, key string, s *snapshot, w podWrites) error {
	_, _, err := c.control.Apply(ctx, key, s.ds, podcontrol.Writes{
		Create: min(len(w.create), burst), Pod: func(i int) *v1.Pod { return podFor(s.ds, w.create[i], s.hash) },
		Delete: w.delete[:min(len(w.delete), burst)],
	})
	return err
}

// burst is the most pods one reconcile creates or deletes.
const burst = 250

func (c *Controller) truncate(ctx context.Context, set *history.Set, s *snapshot, all []*apps.ControllerRevision, present *apps.ControllerRevision) error {
	used := map[string]bool{}
	for _, pods := range s.pods {
		for _, p := range pods {
			used[p.Labels[apps.DefaultDaemonSetUniqueLabelKey]] = true
		}
	}
	var old []*apps.ControllerRevision
	for _, r := range all {
		if r.Name != present.Name {
			old = append(old, r)
		}
	}
	return c.history.Truncate(ctx, set, old, func(r *apps.ControllerRevision) bool {
		return used[r.Labels[apps.DefaultDaemonSetUniqueLabelKey]]
	})
}

// writeStatus writes the status if it changed, and requeues the set for pods that become
// available by the passing of time.
func (c *Controller) writeStatus(ctx context.Context, s *snapshot, collisions int32, observed int64) error {
	next := s.status(collisions, observed)
	if next.NumberReady != next.NumberAvailable && s.ds.Spec.MinReadySeconds > 0 {
		c.AddAfter(loop.Key(s.ds), time.Duration(s.ds.Spec.MinReadySeconds)*time.Second)
	}
	if equality.Semantic.DeepEqual(next, s.ds.Status) {
		return nil
	}
	ds := s.ds.DeepCopy()
	ds.Status = next
	_, err := c.Client.AppsV1().DaemonSets(ds.Namespace).UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	return loop.IgnoreNotFound(err)
}
