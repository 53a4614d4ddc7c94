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
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

// History reads and writes the revisions of sets.
type History struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	lister   listers.ControllerRevisionLister
}

// New makes a History; a controller that uses it must hand Handler to Informer.
func New(client kubernetes.Interface, f informers.SharedInformerFactory) *History {
	i := f.Apps().V1().ControllerRevisions()
	return &History{client: client, informer: i.Informer(), lister: i.Lister()}
}

// Informer is that of all revisions.
func (h *History) Informer() cache.SharedIndexInformer { return h.informer }

// Handler wakes the sets of a kind whose revisions somebody changes or deletes.
func Handler(kind schema.GroupVersionKind, wake func(key string)) cache.ResourceEventHandler {
	return loop.Each(func(r *apps.ControllerRevision) {
		ref := metav1.GetControllerOfNoCopy(r)
		if ref != nil && ref.Kind == kind.Kind && ref.APIVersion == kind.GroupVersion().String() {
			wake(r.Namespace + "/" + ref.Name)
		}
	})
}

// Of gives the revisions of a set, the oldest first, and adopts those without an
// owner whose labels match.
func (h *History) Of(ctx context.Context, s *Set, live func(context.Context) (metav1.Object, error)) ([]*apps.ControllerRevision, error) {
	all, err := h.lister.ControllerRevisions(s.Object.GetNamespace()).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list revisions: %w", err)
	}
	mine, err := replication.Claim(ctx, &replication.Owner{
		Object: s.Object, Kind: s.Kind, Selector: s.Selector, Live: live,
		Patch: func(ctx context.Context, namespace, name string, patch []byte) error {
			_, err := h.client.AppsV1().ControllerRevisions(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}, all)
	if err != nil {
		return nil, err
	}
	order(mine)
	return mine, nil
}

// Present gives the revision of the set's present template, which it creates, or
// moves to the top when the template is one of before. all is what Of gave; the
// answer has the present one last. collisions is what the set's status should say.
//
// A set that is being deleted makes no history: it would be waited for. present is
// nil then, if there is none.
func (h *History) Present(ctx context.Context, s *Set, all []*apps.ControllerRevision) (present *apps.ControllerRevision, after []*apps.ControllerRevision, collisions int32, err error) {
	if s.Object.GetDeletionTimestamp() != nil {
		if len(all) > 0 {
			present = all[len(all)-1]
		}
		return present, all, s.Collisions, nil
	}
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

// create is done when the revision exists, also if somebody else was quicker.
// Another content under the name is a collision: the next name is tried.
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

// Truncate deletes the oldest revisions beyond limit, but none that is used. old
// are those that are not in use as the set's own.
func (h *History) Truncate(ctx context.Context, old []*apps.ControllerRevision, limit int32, used func(*apps.ControllerRevision) bool) error {
	var errs []error
	for _, r := range surplus(old, int(limit), used) {
		err := h.client.AppsV1().ControllerRevisions(r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &r.UID},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete revision %s: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}
