package history

import (
	"context"
	"errors"
	"fmt"

	apps "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// History reads and writes the revisions of the sets of one kind.
type History struct {
	kind     schema.GroupVersionKind
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	lister   listers.ControllerRevisionLister
}

// New returns a History; the controller that uses it must add Handler to Informer.
func New(s loop.Shared, kind schema.GroupVersionKind) *History {
	i := s.Informers.Apps().V1().ControllerRevisions()
	return &History{kind: kind, client: s.Client, informer: i.Informer(), lister: i.Lister()}
}

// Informer returns that of all revisions.
func (h *History) Informer() cache.SharedIndexInformer { return h.informer }

// Handler enqueues the set of a revision that is added, changed or deleted.
func (h *History) Handler(enqueue func(key string)) cache.ResourceEventHandler {
	return loop.Each(func(r *apps.ControllerRevision) {
		if key, ok := podcontrol.OwnerKey(r, h.kind); ok {
			enqueue(key)
		}
	})
}

// Sync returns the revision of the set's present template and all revisions of the set,
// oldest first, the present one last. It adopts orphans, creates the present revision, or
// renumbers it when the template is a former one. collisions is what the set's status
// should have.
//
// A set that is being deleted creates no revisions: the deletion would wait for them.
// present is nil then, if there is none.
func (h *History) Sync(ctx context.Context, s *Set) (present *apps.ControllerRevision, all []*apps.ControllerRevision, collisions int32, err error) {
	cached, err := h.lister.ControllerRevisions(s.Object.GetNamespace()).List(labels.Everything())
	if err != nil {
		return nil, nil, 0, fmt.Errorf("list revisions: %w", err)
	}
	owner := s.Owner
	owner.MayAdopt, owner.Patch = nil, h.patch
	if all, err = podcontrol.Claim(ctx, &owner, cached); err != nil {
		return nil, nil, 0, err
	}
	order(all)
	if s.Object.GetDeletionTimestamp() != nil {
		if len(all) > 0 {
			present = all[len(all)-1]
		}
		return present, all, s.Collisions, nil
	}
	return h.ensure(ctx, s, all)
}

func (h *History) patch(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := h.client.AppsV1().ControllerRevisions(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// ensure creates or renumbers the revision of the present template. all is sorted.
func (h *History) ensure(ctx context.Context, s *Set, all []*apps.ControllerRevision) (present *apps.ControllerRevision, after []*apps.ControllerRevision, collisions int32, err error) {
	next := int64(1)
	if len(all) > 0 {
		next = all[len(all)-1].Revision + 1
	}
	want, err := build(s, next, s.Collisions)
	if err != nil {
		return nil, all, s.Collisions, err
	}
	at := -1
	for i, r := range all {
		if Same(r, want) {
			at = i
		}
	}
	switch at {
	case -1:
		present, collisions, err = h.create(ctx, s, want)
		if err != nil {
			return nil, all, collisions, err
		}
		return present, append(all[:len(all):len(all)], present), collisions, nil
	case len(all) - 1:
		return all[at], all, s.Collisions, nil
	}
	present = all[at].DeepCopy()
	present.Revision = next
	present, err = h.client.AppsV1().ControllerRevisions(present.Namespace).Update(ctx, present, metav1.UpdateOptions{})
	if err != nil {
		return nil, all, s.Collisions, fmt.Errorf("renumber revision %s: %w", all[at].Name, err)
	}
	after = append(append([]*apps.ControllerRevision{}, all[:at]...), all[at+1:]...)
	return present, append(after, present), s.Collisions, nil
}

// create returns the created revision, or the same one that exists already. Another
// template under the name is a collision: the next name is tried.
func (h *History) create(ctx context.Context, s *Set, r *apps.ControllerRevision) (*apps.ControllerRevision, int32, error) {
	api := h.client.AppsV1().ControllerRevisions(r.Namespace)
	for collisions := s.Collisions; ; collisions++ {
		next, err := build(s, r.Revision, collisions)
		if err != nil {
			return nil, collisions, err
		}
		made, err := api.Create(ctx, next, metav1.CreateOptions{})
		if err == nil {
			return made, collisions, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, collisions, fmt.Errorf("create revision: %w", err)
		}
		is, err := api.Get(ctx, next.Name, metav1.GetOptions{})
		if err != nil {
			return nil, collisions, fmt.Errorf("read revision: %w", err)
		}
		if Same(is, next) && metav1.IsControlledBy(is, s.Object) {
			return is, collisions, nil
		}
	}
}

// Truncate deletes the oldest of old beyond the set's history limit, but none that is used.
func (h *History) Truncate(ctx context.Context, s *Set, old []*apps.ControllerRevision, used func(*apps.ControllerRevision) bool) error {
	limit := defaultLimit
	if s.Limit != nil {
		limit = int(*s.Limit)
	}
	var errs []error
	for _, r := range surplus(old, limit, used) {
		err := h.client.AppsV1().ControllerRevisions(r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &r.UID},
		})
		if loop.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("delete revision %s: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}
