package statefulset

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

// hashLabel is the label of a revision that holds its hash.
const hashLabel = "controller.kubernetes.io/hash"

// reconcile takes the next steps of one set, and writes its status.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	set, err := c.sets.StatefulSets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil // validation keeps such out; no retry would help
	}
	past := &history.Set{Object: set, Kind: kind, Selector: selector, Template: &set.Spec.Template, HashLabel: hashLabel}
	if n := set.Status.CollisionCount; n != nil {
		past.Collisions = *n
	}
	revisions, err := c.history.Of(ctx, past, c.live(set))
	if err != nil {
		return err
	}
	present, revisions, collisions, err := c.history.Present(ctx, past, revisions)
	if err != nil || present == nil {
		return err
	}
	s, err := c.observe(ctx, set, selector, revisions, present)
	if err != nil {
		return err
	}
	var failed error
	if set.DeletionTimestamp == nil {
		if failed = c.apply(ctx, s); failed == nil {
			failed = c.truncate(ctx, s, revisions)
		}
	}
	return errors.Join(failed, c.writeStatus(ctx, s, collisions))
}

func (c *Controller) live(set *apps.StatefulSet) func(context.Context) (metav1.Object, error) {
	return func(ctx context.Context) (metav1.Object, error) {
		return c.client.AppsV1().StatefulSets(set.Namespace).Get(ctx, set.Name, metav1.GetOptions{})
	}
}

// observe reads pods, adopting and releasing on the way. The template of the
// current revision comes from the history.
func (c *Controller) observe(
	ctx context.Context, set *apps.StatefulSet, selector labels.Selector, revisions []*apps.ControllerRevision, present *apps.ControllerRevision,
) (*state, error) {
	all, err := c.pods.Pods(set.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	mine, err := replication.Claim(ctx, &replication.Owner{
		Object: set, Kind: kind, Selector: selector, Live: c.live(set), Patch: replication.PatchPods(c.client),
		May: func(o metav1.Object) bool {
			p, ok := o.(*v1.Pod)
			return ok && ordinalOf(set, p) >= 0
		},
	}, all)
	if err != nil {
		return nil, err
	}
	s := &state{
		set: set, update: version{present.Name, &set.Spec.Template}, pods: mine, now: c.now(),
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

func (c *Controller) truncate(ctx context.Context, s *state, revisions []*apps.ControllerRevision) error {
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
	limit := int32(10)
	if n := s.set.Spec.RevisionHistoryLimit; n != nil {
		limit = *n
	}
	return c.history.Truncate(ctx, old, limit, func(*apps.ControllerRevision) bool { return false })
}

// writeStatus writes the status if it changed, and comes back for pods that become
// available by the mere passing of time.
func (c *Controller) writeStatus(ctx context.Context, s *state, collisions int32) error {
	next := s.status(collisions)
	if next.ReadyReplicas != next.AvailableReplicas && s.set.Spec.MinReadySeconds > 0 {
		c.AddAfter(loop.Key(s.set), time.Duration(s.set.Spec.MinReadySeconds)*time.Second)
	}
	if equality.Semantic.DeepEqual(next, s.set.Status) {
		return nil
	}
	set := s.set.DeepCopy()
	set.Status = next
	_, err := c.client.AppsV1().StatefulSets(set.Namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
