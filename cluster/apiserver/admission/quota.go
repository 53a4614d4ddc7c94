package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/quota"
	"wheelhouse/cluster/store"
)

var quotasResource = schema.GroupResource{Resource: "resourcequotas"}

// Quotas writes ResourceQuotas.
type Quotas interface {
	// Update replaces a quota by what f makes of it; f is called again when another
	// write came between. It gives a copy of its own, or nil to leave the quota as it is.
	Update(ctx context.Context, namespace, name string, f func(*corev1.ResourceQuota) (*corev1.ResourceQuota, error)) error
}

// StoreQuotas writes to the API server's own store.
func StoreQuotas(s *store.Store) Quotas { return storeQuotas{s.Of(core.ResourceQuotas)} }

type storeQuotas struct{ *store.Collection }

func (s storeQuotas) Update(ctx context.Context, namespace, name string, f func(*corev1.ResourceQuota) (*corev1.ResourceQuota, error)) error {
	_, err := s.Collection.Update(ctx, namespace, name, func(cur *store.Item) (api.Object, error) {
		next, err := f(cur.Object().(*corev1.ResourceQuota))
		if next == nil && err == nil {
			err = errStays
		}
		return next, err
	})
	if errors.Is(err, errStays) {
		return nil
	}
	return err
}

// errStays ends an update that would change nothing.
var errStays = errors.New("the quota stays as it is")

// quota lets an object in when it fits into all quotas of its namespace that count it,
// and reserves its place there. The place is not given back when the write fails later:
// the quota controller counts again.
func (c *Chain) quota(ctx context.Context, r *Request) error {
	if c.quotas == nil || r.Namespace == "" || r.Kind.Virtual || !countable(r) {
		return nil
	}
	list, _, err := c.objects.List(ctx, quotasResource, r.Namespace, false)
	if err != nil {
		return fmt.Errorf("reading the quotas of namespace %s: %w", r.Namespace, err)
	}
	if len(list) == 0 {
		return nil
	}
	asked, err := c.askedOf(r, list)
	if err != nil || len(asked) == 0 {
		return err
	}
	if r.DryRun {
		for _, o := range list {
			q := o.(*corev1.ResourceQuota)
			if err := quota.Exceeded(q, asked[q.Name]); err != nil {
				return r.forbidden("%w", err)
			}
		}
		return nil
	}
	r.place = &place{id: placeID(r), namespace: r.Namespace, asked: asked}
	if err := c.quotas.reserve(ctx, r.place); err != nil {
		var refused *doesNotFit
		if errors.As(err, &refused) {
			return r.forbidden("%w", refused.error)
		}
		return fmt.Errorf("reserving a place in the quotas of namespace %s: %w", r.Namespace, err)
	}
	return nil
}

// countable: the write may use more than there was. Of what exists, only services,
// claims and the resources of pods can grow; and a pod that is given a deadline, or loses
// it, moves to the quotas of the other scope.
func countable(r *Request) bool {
	switch r.Verb {
	case Create:
		return r.Subresource == ""
	case Update:
		resource := r.resource()
		return (resource == quota.Services || resource == quota.Claims) && r.Subresource == "" || r.is("", "pods", "resize") || moves(r)
	}
	return false
}

func moves(r *Request) bool {
	if !r.is("", "pods", "") {
		return false
	}
	now, ok := r.Object.(*corev1.Pod)
	before, was := r.Old.(*corev1.Pod)
	return ok && was && quota.Terminating(now) != quota.Terminating(before)
}

// askedOf is what the write asks of each quota that counts it, by its name.
func (c *Chain) askedOf(r *Request, quotas []api.Object) (map[string]corev1.ResourceList, error) {
	now := time.Now()
	whole := quota.Of(r.resource(), r.Object, now)
	grown := whole
	if r.Old != nil {
		grown = quota.Growth(whole, quota.Of(r.resource(), r.Old, now))
	}
	asked := map[string]corev1.ResourceList{}
	for _, o := range quotas {
		q, ok := o.(*corev1.ResourceQuota)
		if !ok || !quota.Matches(q, r.Object) {
			continue
		}
		if pod, ok := r.Object.(*corev1.Pod); ok && r.resource() == quota.Pods {
			if err := quota.Unspecified(q.Status.Hard, pod); err != nil {
				return nil, r.forbidden("failed quota: %s: %w", q.Name, err)
			}
		}
		part := quota.Within(grown, q.Status.Hard)
		if r.Old != nil && !quota.Matches(q, r.Old) {
			part = quota.Within(whole, q.Status.Hard)
		}
		if unknown := quota.Unknown(q, part); len(unknown) > 0 {
			return nil, r.forbidden("status unknown for quota: %s, resources: %s", q.Name, strings.Join(unknown, ","))
		}
		if part = quota.Growth(part, nil); len(part) > 0 {
			asked[q.Name] = part
		}
	}
	return asked, nil
}

// placeID is the new object's uid, by which a list of objects shows that it counts
// already. An object that grows is shown as it was, so that it gets another.
func placeID(r *Request) string {
	if o, err := meta.Accessor(r.Object); err == nil && r.Verb == Create && o.GetUID() != "" {
		return string(o.GetUID())
	}
	return "grows-" + uuid.NewString()
}

// keepReservations: who writes a quota from a file knows nothing of them.
func (c *Chain) keepReservations(_ context.Context, r *Request) error {
	if r.Verb != Update || !r.is("", "resourcequotas", "") {
		return nil
	}
	if text, ok := noteOf(r.Old); ok {
		if q, ok := r.Object.(*corev1.ResourceQuota); ok {
			metav1.SetMetaDataAnnotation(&q.ObjectMeta, quota.ReservedAnnotation, text)
		}
	}
	return nil
}

func noteOf(o runtime.Object) (string, bool) {
	q, ok := o.(*corev1.ResourceQuota)
	if !ok {
		return "", false
	}
	text, ok := q.Annotations[quota.ReservedAnnotation]
	return text, ok
}
