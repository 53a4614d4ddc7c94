package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/loop"
)

// burst is the most pods one reconcile creates or deletes.
const burst = 1000

// reconcile brings one set nearer to its number of pods, and writes its status.
func (r *Controller) reconcile(ctx context.Context, key string) error {
	set, err := r.get(key)
	if err != nil {
		return err
	}
	if set == nil {
		r.expect.forget(key)
		return nil
	}
	settled := r.expect.met(key)
	all, err := r.pods.Pods(set.Object.GetNamespace()).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	pods, claimErr := r.claim(ctx, set, all)
	active := make([]*v1.Pod, 0, len(pods))
	for _, p := range pods {
		if Active(p) {
			active = append(active, p)
		}
	}
	wanted := int(set.Replicas) - len(active)
	var manageErr error
	if settled && claimErr == nil && set.Object.GetDeletionTimestamp() == nil {
		manageErr = r.manage(ctx, key, set, active, wanted)
	}
	if err := r.writeStatus(ctx, set, active, wanted, manageErr); err != nil {
		return errors.Join(claimErr, manageErr, err)
	}
	return errors.Join(claimErr, manageErr)
}

// claim adopts and releases, and gives the pods that are the set's now.
func (r *Controller) claim(ctx context.Context, s *Set, all []*v1.Pod) ([]*v1.Pod, error) {
	c := sortClaims(s, all)
	var errs []error
	for _, p := range c.release {
		patch, err := releasePatch(p, s)
		if err == nil {
			err = r.patch(ctx, p, patch)
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) {
			errs = append(errs, fmt.Errorf("release pod %s: %w", p.Name, err))
		}
	}
	if len(c.adopt) == 0 {
		return c.owned, errors.Join(errs...)
	}
	if err := r.mayAdopt(ctx, s); err != nil {
		return c.owned, errors.Join(append(errs, err)...)
	}
	for _, p := range c.adopt {
		patch, err := adoptPatch(p, r.owner(s))
		if err == nil {
			err = r.patch(ctx, p, patch)
		}
		switch {
		case err == nil:
			c.owned = append(c.owned, p)
		case apierrors.IsNotFound(err):
		default:
			errs = append(errs, fmt.Errorf("adopt pod %s: %w", p.Name, err))
		}
	}
	return c.owned, errors.Join(errs...)
}

func (r *Controller) patch(ctx context.Context, p *v1.Pod, patch []byte) error {
	_, err := r.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// mayAdopt looks past the cache: a set that is being deleted, or was replaced by
// another of its name, must not gain pods.
func (r *Controller) mayAdopt(ctx context.Context, s *Set) error {
	live, err := r.Kind.Live(ctx, s.Object.GetNamespace(), s.Object.GetName())
	switch {
	case err != nil:
		return fmt.Errorf("read before adopting: %w", err)
	case live.GetUID() != s.Object.GetUID():
		return fmt.Errorf("%s was replaced: uid is %s now, not %s", s.Object.GetName(), live.GetUID(), s.Object.GetUID())
	case live.GetDeletionTimestamp() != nil:
		return fmt.Errorf("%s is being deleted since %v", s.Object.GetName(), live.GetDeletionTimestamp())
	}
	return nil
}

func (r *Controller) manage(ctx context.Context, key string, s *Set, active []*v1.Pod, wanted int) error {
	switch {
	case wanted > 0 && s.Template != nil:
		return r.create(ctx, key, s, min(wanted, burst))
	case wanted < 0:
		return r.remove(ctx, key, s, active, min(-wanted, burst))
	}
	return nil
}

func (r *Controller) create(ctx context.Context, key string, s *Set, n int) error {
	r.expect.creates(key, n)
	done, err := SlowStart(n, func() error { return r.createPod(ctx, s) })
	r.expect.created(key, n-done)
	if err != nil && apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}

func (r *Controller) createPod(ctx context.Context, s *Set) error {
	pod := PodFromTemplate(s.Template, s.Object, r.Kind.GroupVersionKind())
	made, err := r.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		if !apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
			r.event(ctx, s, v1.EventTypeWarning, "FailedCreate", "Error creating: %v", err)
		}
		return fmt.Errorf("create pod: %w", err)
	}
	r.event(ctx, s, v1.EventTypeNormal, "SuccessfulCreate", "Created pod: %s", made.Name)
	return nil
}

func (r *Controller) remove(ctx context.Context, key string, s *Set, active []*v1.Pod, n int) error {
	doomed := Doomed(active, active, n, r.now())
	uids := make([]types.UID, len(doomed))
	for i, p := range doomed {
		uids[i] = p.UID
	}
	r.expect.deletes(key, uids)
	_, err := together(len(doomed), func(i int) error {
		err := r.deletePod(ctx, s, doomed[i])
		if err != nil {
			r.expect.deleted(key, doomed[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return err
}

func (r *Controller) deletePod(ctx context.Context, s *Set, p *v1.Pod) error {
	err := r.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &p.UID},
	})
	switch {
	case err == nil:
		r.event(ctx, s, v1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: %s", p.Name)
	case !apierrors.IsNotFound(err):
		r.event(ctx, s, v1.EventTypeWarning, "FailedDelete", "Error deleting: %v", err)
		return fmt.Errorf("delete pod %s: %w", p.Name, err)
	}
	return err
}

// writeStatus writes the status if it changed, and comes back for pods that
// become available by the mere passing of time.
func (r *Controller) writeStatus(ctx context.Context, s *Set, active []*v1.Pod, wanted int, failed error) error {
	next := nextStatus(s, active, wanted, failed, r.now())
	if next.Available < next.Ready && s.MinReady > 0 {
		r.AddAfter(loop.Key(s.Object), time.Duration(s.MinReady)*time.Second)
	}
	if next.equal(s.Status) {
		return nil
	}
	err := r.Kind.UpdateStatus(ctx, s, next)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
