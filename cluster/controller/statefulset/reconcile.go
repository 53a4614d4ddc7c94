package statefulset

import (
	"context"
	"errors"
	"fmt"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// hashLabel is the label of a revision that holds its hash.
const hashLabel = "controller.kubernetes.io/hash"

// reconcile performs the next steps of one set, and writes its status.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	set, err := c.sets.StatefulSets(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil //nolint:nilerr // validation rejects it; a retry would not help
	}
	revised := c.historySet(set, selector)
	present, revisions, collisions, err := c.history.Sync(ctx, revised)
	if err != nil || present == nil {
		return err
	}
	s, err := c.observe(ctx, revised, set, revisions, present)
	if err != nil {
		return err
	}
	var failed error
	if set.DeletionTimestamp == nil {
		if failed = c.apply(ctx, s); failed == nil {
			failed = c.truncate(ctx, revised, s, revisions)
		}
	}
	return errors.Join(failed, c.writeStatus(ctx, s, collisions))
}

func (c *Controller) historySet(set *apps.StatefulSet, selector labels.Selector) *history.Set {
	return &history.Set{
		Owner: podcontrol.Owner{
			Object: set, Kind: kind, Selector: selector, Patch: podcontrol.PatchPods(c.Client),
			Live: func(ctx context.Context) (metav1.Object, error) {
				return c.Client.AppsV1().StatefulSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
			},
			MayAdopt: func(o metav1.Object) bool {
				p, ok := o.(*v1.Pod)
				return ok && ordinalOf(set, p) >= 0
			},
		},
		Template: &set.Spec.Template, HashLabel: hashLabel,
		Collisions: ptr.Deref(set.Status.CollisionCount, 0), Limit: set.Spec.RevisionHistoryLimit,
	}
}

// observe reads pods, and adopts and releases them. The template of the current revision
// is read from the history.
func (c *Controller) observe(
	ctx context.Context, revised *history.Set, set *apps.StatefulSet, revisions []*apps.ControllerRevision, present *apps.ControllerRevision,
) (*snapshot, error) {
	all, err := c.pods.Pods(set.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	owned, err := podcontrol.Claim(ctx, &revised.Owner, all)
	if err != nil {
		return nil, err
	}
	s := &snapshot{
		set: set, update: version{present.Name, &set.Spec.Template}, pods: owned, now: c.now(),
		claim: func(name string) *v1.PersistentVolumeClaim {
			if claim, err := c.claims.PersistentVolumeClaims(set.Namespace).Get(name); err == nil {
				return claim
			}
			return nil
		},
	}
	s.current = s.update
	for _, r := range revisions {
		if r.Name == set.Status.CurrentRevision && r.Name != present.Name {
			t, err := history.Template(r)
			if err != nil {
				return nil, err
			}
			s.current = version{r.Name, t}
		}
	}
	return s, nil
}

func (c *Controller) truncate(ctx context.Context, revised *history.Set, s *snapshot, revisions []*apps.ControllerRevision) error {
	used := map[string]bool{s.current.name: true, s.update.name: true}
	for _, p := range s.pods {
		used[revisionOf(p)] = true
	}
	var old []*apps.ControllerRevision
	for _, r := range revisions {
		if !used[r.Name] {
			old = append(old, r)
		}
	}
	return c.history.Truncate(ctx, revised, old, func(*apps.ControllerRevision) bool { return false })
}

// writeStatus writes the status if it changed, and requeues the set for pods that become
// available by the passing of time.
func (c *Controller) writeStatus(ctx context.Context, s *snapshot, collisions int32) error {
	next := s.status(collisions)
	if next.ReadyReplicas != next.AvailableReplicas && s.set.Spec.MinReadySeconds > 0 {
		c.AddAfter(loop.Key(s.set), time.Duration(s.set.Spec.MinReadySeconds)*time.Second)
	}
	if equality.Semantic.DeepEqual(next, s.set.Status) {
		return nil
	}
	set := s.set.DeepCopy()
	set.Status = next
	_, err := c.Client.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{})
	return loop.IgnoreNotFound(err)
}
