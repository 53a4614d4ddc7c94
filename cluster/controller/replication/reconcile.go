package replication

import (
	"context"
	"errors"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/api/podfacts"
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
		r.expect.Forget(key)
		return nil
	}
	settled := r.expect.Met(key)
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
	wanted := int(set.Replicas) - len(active)
	var manageErr error
	if settled && claimErr == nil && set.Object.GetDeletionTimestamp() == nil {
		manageErr = r.manage(ctx, key, set, active, wanted)
	}
	if err := r.writeStatus(ctx, set, active, terminating, wanted, manageErr); err != nil {
		return errors.Join(claimErr, manageErr, err)
	}
	return errors.Join(claimErr, manageErr)
}

// claim adopts and releases, and gives the pods that are the set's now.
func (r *Controller) claim(ctx context.Context, s *Set, all []*v1.Pod) ([]*v1.Pod, error) {
	return Claim(ctx, &Owner{
		Object: s.Object, Kind: r.Kind.GroupVersionKind(), Selector: s.Selector, May: activePod,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.Kind.Live(ctx, s.Object.GetNamespace(), s.Object.GetName())
		},
		Patch: PatchPods(r.Client),
	}, all)
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
	r.expect.Expect(key, n, nil)
	done, err := SlowStart(n, func(int) error { return r.createPod(ctx, s) })
	r.expect.Created(key, n-done)
	if err != nil && apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}

func (r *Controller) createPod(ctx context.Context, s *Set) error {
	return r.writer().Create(ctx, s.Object, PodFromTemplate(s.Template, s.Object, r.Kind.GroupVersionKind()))
}

func (r *Controller) writer() Pods { return Pods{Client: r.Client, Recorder: r.Recorder} }

func (r *Controller) remove(ctx context.Context, key string, s *Set, active []*v1.Pod, n int) error {
	doomed := Doomed(active, r.related(s, active), n, r.now())
	r.expect.Expect(key, 0, UIDs(doomed))
	_, err := Together(len(doomed), func(i int) error {
		err := r.writer().Delete(ctx, s.Object, doomed[i])
		if err != nil {
			r.expect.Deleted(key, doomed[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return err
}

// related are the pods that count as neighbours on a node: the set's own, and those of
// the sets under the same controller, such as the older ReplicaSets of one Deployment.
func (r *Controller) related(s *Set, own []*v1.Pod) []*v1.Pod {
	ref := metav1.GetControllerOfNoCopy(s.Object)
	if ref == nil {
		return own
	}
	sets, err := r.sets.ByIndex(cache.NamespaceIndex, s.Object.GetNamespace())
	if err != nil {
		return own
	}
	var out []*v1.Pod
	for _, o := range sets {
		m, ok := o.(metav1.Object)
		if !ok {
			continue
		}
		if other := metav1.GetControllerOfNoCopy(m); other == nil || other.UID != ref.UID {
			continue
		}
		pods, err := r.controlledBy(m.GetUID())
		if err != nil {
			return own
		}
		out = append(out, pods...)
	}
	return out
}

// writeStatus writes the status if it changed, and comes back for pods that
// become available by the mere passing of time.
func (r *Controller) writeStatus(ctx context.Context, s *Set, active []*v1.Pod, terminating, wanted int, failed error) error {
	now := r.now()
	next := nextStatus(s, active, terminating, wanted, failed, now)
	if wait := nextAvailable(active, s.MinReady, now); wait > 0 {
		r.AddAfter(loop.Key(s.Object), wait)
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
