package replication

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// burst is the most pods one reconcile creates or deletes.
const burst = 1000

// reconcile creates or deletes pods of one set, and writes its status.
func (r *Controller) reconcile(ctx context.Context, key string) error {
	obj, exists, err := r.sets.GetByKey(key)
	if err != nil {
		return fmt.Errorf("get %s: %w", key, err)
	}
	if !exists {
		r.control.Forget(key)
		return nil
	}
	set, err := r.kind.View(obj)
	if err != nil {
		return err
	}
	met := r.control.Met(key)
	all, err := r.claimable(set)
	if err != nil {
		return err
	}
	pods, claimErr := r.claim(ctx, set, all)
	active := make([]*v1.Pod, 0, len(pods))
	terminating := 0
	for _, p := range pods {
		switch {
		case podfacts.Active(p):
			active = append(active, p)
		case !podfacts.Terminal(p):
			terminating++
		}
	}
	missing := set.replicas() - len(active)
	var manageErr error
	if met && claimErr == nil && set.DeletionTimestamp == nil {
		manageErr = r.manage(ctx, key, set, active, missing)
	}
	return errors.Join(claimErr, manageErr, r.writeStatus(ctx, set, active, terminating, missing, manageErr))
}

// claim adopts and releases pods, and returns those of the set.
func (r *Controller) claim(ctx context.Context, s *Set, all []*v1.Pod) ([]*v1.Pod, error) {
	return podcontrol.Claim(ctx, &podcontrol.Owner{
		Object: s, Kind: r.control.Kind, Selector: s.Selector, MayAdopt: podcontrol.ActivePod,
		Live:  func(ctx context.Context) (metav1.Object, error) { return r.kind.Live(ctx, s.Namespace, s.Name) },
		Patch: podcontrol.PatchPods(r.Client),
	}, all)
}

// manage creates the missing pods, or deletes those that are too many.
func (r *Controller) manage(ctx context.Context, key string, s *Set, active []*v1.Pod, missing int) error {
	var w podcontrol.Writes
	switch {
	case missing > 0 && s.Template != nil:
		w.Create = min(missing, burst)
		w.Pod = func(int) *v1.Pod { return podcontrol.PodFromTemplate(s.Template, s, r.control.Kind) }
	case missing < 0:
		related, err := r.related(s, active)
		if err != nil {
			return err
		}
		w.Delete = podcontrol.PodsToDelete(active, related, min(-missing, burst), r.now())
	}
	_, _, err := r.control.Apply(ctx, key, s.ReplicaSet, w)
	return err
}

// related returns the pods that count as neighbours on a node: the set's own, and those of
// the sets with the same controller, such as the older ReplicaSets of one Deployment.
func (r *Controller) related(s *Set, own []*v1.Pod) ([]*v1.Pod, error) {
	ref := metav1.GetControllerOfNoCopy(s)
	if ref == nil {
		return own, nil
	}
	sets, err := r.sets.ByIndex(cache.NamespaceIndex, s.Namespace)
	if err != nil {
		return nil, fmt.Errorf("list sets: %w", err)
	}
	var out []*v1.Pod
	for _, o := range sets {
		m, ok := o.(metav1.Object)
		if !ok || metav1.GetControllerOfNoCopy(m) == nil || metav1.GetControllerOfNoCopy(m).UID != ref.UID {
			continue
		}
		pods, err := r.controlledBy(m.GetUID())
		if err != nil {
			return nil, err
		}
		out = append(out, pods...)
	}
	return out, nil
}

// writeStatus writes the status if it changed, and requeues the set for pods that become
// available by the passing of time.
func (r *Controller) writeStatus(ctx context.Context, s *Set, active []*v1.Pod, terminating, missing int, writeErr error) error {
	now := r.now()
	next := nextStatus(s, active, terminating, missing, writeErr, now)
	if wait := nextAvailable(active, s.Spec.MinReadySeconds, now); wait > 0 {
		r.AddAfter(loop.Key(s), wait)
	}
	if equality.Semantic.DeepEqual(next, s.Status) {
		return nil
	}
	return loop.IgnoreNotFound(r.kind.UpdateStatus(ctx, s, next))
}
