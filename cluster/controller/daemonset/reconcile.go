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

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

// reconcile brings one set a step nearer to one pod per node, and writes its status.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	ds, err := c.sets.DaemonSets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	selector, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector)
	if err != nil {
		return nil // validation keeps such out; no retry would help
	}
	if selector.Empty() {
		c.recorder.Event(ds, v1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return nil
	}
	settled := c.expect.Met(key)
	past := c.revisions(ds, selector)
	all, err := c.history.Of(ctx, past, c.live(ds))
	if err != nil {
		return err
	}
	present, all, collisions, err := c.history.Present(ctx, past, all)
	if err != nil || present == nil {
		return err
	}
	s, err := c.observe(ctx, ds, selector, present)
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
	if settled && ds.DeletionTimestamp == nil {
		observed = ds.Generation
		if failed = c.step(ctx, key, s); failed == nil {
			failed = c.truncate(ctx, s, all, present)
		}
	}
	return errors.Join(failed, c.writeStatus(ctx, s, collisions, observed))
}

func (c *Controller) revisions(ds *apps.DaemonSet, selector labels.Selector) *history.Set {
	s := &history.Set{
		Object: ds, Kind: kind, Selector: selector, Template: &ds.Spec.Template,
		HashLabel: apps.DefaultDaemonSetUniqueLabelKey,
	}
	if n := ds.Status.CollisionCount; n != nil {
		s.Collisions = *n
	}
	return s
}

func (c *Controller) live(ds *apps.DaemonSet) func(context.Context) (metav1.Object, error) {
	return func(ctx context.Context) (metav1.Object, error) {
		return c.client.AppsV1().DaemonSets(ds.Namespace).Get(ctx, ds.Name, metav1.GetOptions{})
	}
}

// observe reads nodes and pods, adopting and releasing on the way.
func (c *Controller) observe(ctx context.Context, ds *apps.DaemonSet, selector labels.Selector, present *apps.ControllerRevision) (*state, error) {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	all, err := c.pods.Pods(ds.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	mine, err := replication.Claim(ctx, &replication.Owner{
		Object: ds, Kind: kind, Selector: selector, Live: c.live(ds), Patch: replication.PatchPods(c.client),
	}, all)
	if err != nil {
		return nil, err
	}
	return &state{
		ds: ds, nodes: nodes, pods: byNode(mine), now: c.now(),
		hash: present.Labels[apps.DefaultDaemonSetUniqueLabelKey], equal: map[string]bool{},
	}, nil
}

// step places pods; when nothing is to be placed, it may move an update on.
func (c *Controller) step(ctx context.Context, key string, s *state) error {
	p := s.place()
	p.delete = append(p.delete, c.bury(key, s, p.ended)...)
	if err := c.apply(ctx, key, s, p); err != nil {
		return err
	}
	if !c.expect.Met(key) || s.ds.Spec.UpdateStrategy.Type != apps.RollingUpdateDaemonSetStrategyType {
		return nil
	}
	return c.apply(ctx, key, s, s.update())
}

// bury picks those of the pods that have ended whose node has waited long enough
// for another one.
func (c *Controller) bury(key string, s *state, ended []*v1.Pod) []*v1.Pod {
	var out []*v1.Pod
	for _, p := range ended {
		if p.Status.Phase == v1.PodSucceeded {
			c.recorder.Eventf(s.ds, v1.EventTypeNormal, "SucceededDaemonPod",
				"Found succeeded daemon pod %s/%s on node %s, will try to delete it", p.Namespace, p.Name, p.Spec.NodeName)
			out = append(out, p)
			continue
		}
		id := fmt.Sprintf("%s/%s/%s", s.ds.UID, s.hash, p.Spec.NodeName)
		if c.failures.IsInBackOffSinceUpdate(id, s.now) {
			c.AddAfter(key, c.failures.Get(id))
			continue
		}
		c.failures.Next(id, s.now)
		c.recorder.Eventf(s.ds, v1.EventTypeWarning, "FailedDaemonPod",
			"Found failed daemon pod %s/%s on node %s, will try to kill it", p.Namespace, p.Name, p.Spec.NodeName)
		out = append(out, p)
	}
	c.failures.GC()
	return out
}

// apply creates and deletes. A set's writes are expected until the cache shows them.
func (c *Controller) apply(ctx context.Context, key string, s *state, p plan) error {
	p.create, p.delete = bound(p.create), bound(p.delete)
	if len(p.create) == 0 && len(p.delete) == 0 {
		return nil
	}
	c.expect.Expect(key, len(p.create), replication.UIDs(p.delete))
	pods := replication.Pods{Client: c.client, Recorder: c.recorder}
	done, err := replication.SlowStart(len(p.create), func(i int) error {
		return pods.Create(ctx, s.ds, podFor(s.ds, p.create[i], s.hash))
	})
	c.expect.Created(key, len(p.create)-done)
	_, gone := replication.Together(len(p.delete), func(i int) error {
		err := pods.Delete(ctx, s.ds, p.delete[i])
		if err != nil {
			c.expect.Deleted(key, p.delete[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return errors.Join(err, gone)
}

// burst is the most pods one reconcile creates or deletes.
const burst = 250

func bound[T any](in []T) []T { return in[:min(len(in), burst)] }

func (c *Controller) truncate(ctx context.Context, s *state, all []*apps.ControllerRevision, present *apps.ControllerRevision) error {
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
	limit := int32(10)
	if n := s.ds.Spec.RevisionHistoryLimit; n != nil {
		limit = *n
	}
	return c.history.Truncate(ctx, old, limit, func(r *apps.ControllerRevision) bool {
		return used[r.Labels[apps.DefaultDaemonSetUniqueLabelKey]]
	})
}

// writeStatus writes the status if it changed, and comes back for pods that become
// available by the mere passing of time.
func (c *Controller) writeStatus(ctx context.Context, s *state, collisions int32, observed int64) error {
	next := s.status(collisions, observed)
	if next.NumberReady != next.NumberAvailable && s.ds.Spec.MinReadySeconds > 0 {
		c.AddAfter(loop.Key(s.ds), time.Duration(s.ds.Spec.MinReadySeconds)*time.Second)
	}
	if equality.Semantic.DeepEqual(next, s.ds.Status) {
		return nil
	}
	ds := s.ds.DeepCopy()
	ds.Status = next
	_, err := c.client.AppsV1().DaemonSets(ds.Namespace).UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
