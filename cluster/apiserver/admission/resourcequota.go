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
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/quota"
	"wheelhouse/cluster/store"
)

var quotasResource = schema.GroupResource{Resource: "resourcequotas"}

// Quotas writes ResourceQuotas.
type Quotas interface {
	// Update replaces a quota by the result of f, which is called again after a conflict. The
	// result is a copy, or nil to leave the quota as it is.
	Update(ctx context.Context, namespace, name string, f func(*corev1.ResourceQuota) (*corev1.ResourceQuota, error)) error
}

// StoreQuotas writes to the API server's own store.
func StoreQuotas(s *store.Store) Quotas { return storeQuotas{s.Of(core.ResourceQuotas)} }

type storeQuotas struct{ *store.Collection }

func (s storeQuotas) Update(ctx context.Context, namespace, name string, f func(*corev1.ResourceQuota) (*corev1.ResourceQuota, error)) error {
	_, err := s.Collection.Update(ctx, namespace, name, func(cur *store.Item) (api.Object, error) {
		next, err := f(cur.Object().(*corev1.ResourceQuota))
		if next == nil && err == nil {
			err = errUnchanged
		}
		return next, err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// errUnchanged ends an update that would change nothing.
var errUnchanged = errors.New("the quota is unchanged")

// ResourceQuota refuses objects that exceed a quota of their namespace, and reserves what they
// use there. A reservation ends with the write: then the quota controller counts the objects.
type ResourceQuota struct {
	objects      authz.Objects
	reservations *reservations // nil: quotas limit nothing
}

// Settle implements Settler.
func (p *ResourceQuota) Settle(_ context.Context, r *Request, _ error) {
	p.reservations.release(r.quota)
}

// Validate implements Validator.
func (p *ResourceQuota) Validate(ctx context.Context, r *Request) error {
	if p.reservations == nil || r.Namespace == "" || r.Kind.Virtual || !countable(r) {
		return nil
	}
	list, _, err := p.objects.List(ctx, quotasResource, r.Namespace, false)
	if err != nil {
		return fmt.Errorf("reading the quotas of namespace %s: %w", r.Namespace, err)
	}
	if len(list) == 0 {
		return nil
	}
	requested, err := requestedOf(r, list)
	if err != nil || len(requested) == 0 {
		return err
	}
	if r.DryRun {
		for _, o := range list {
			q := o.(*corev1.ResourceQuota)
			if err := quota.Exceeded(q, requested[q.Name]); err != nil {
				return r.forbidden("%w", err)
			}
		}
		return nil
	}
	r.quota = &reservation{id: reservationID(r), namespace: r.Namespace, requested: requested}
	if err := p.reservations.reserve(ctx, r.quota); err != nil {
		var exceeded *exceededQuota
		if errors.As(err, &exceeded) {
			return r.forbidden("%w", exceeded.error)
		}
		return fmt.Errorf("reserving in the quotas of namespace %s: %w", r.Namespace, err)
	}
	return nil
}

// countable reports whether the write may use more than before. Of existing objects, only
// services, claims and the resources of pods can grow; and a pod that is given a deadline, or
// loses it, changes to the quotas of the other scope.
func countable(r *Request) bool {
	switch r.Verb {
	case Create:
		return r.Subresource == ""
	case Update:
		resource := r.resource()
		return (resource == quota.Services || resource == quota.Claims) && r.Subresource == "" || r.is("pods", "resize") || changesScope(r)
	}
	return false
}

func changesScope(r *Request) bool {
	if !r.is("pods", "") {
		return false
	}
	now, ok := r.Object.(*corev1.Pod)
	before, was := r.Old.(*corev1.Pod)
	return ok && was && quota.Terminating(now) != quota.Terminating(before)
}

// requestedOf returns what the write requests of each quota that counts it, by its name.
func requestedOf(r *Request, quotas []api.Object) (map[string]corev1.ResourceList, error) {
	now := time.Now()
	whole := quota.Of(r.resource(), r.Object, now)
	grown := whole
	if r.Old != nil {
		grown = quota.Growth(whole, quota.Of(r.resource(), r.Old, now))
	}
	requested := map[string]corev1.ResourceList{}
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
		part := grown
		if r.Old != nil && !quota.Matches(q, r.Old) {
			part = whole
		}
		part = quota.Reservable(q, part)
		if unknown := quota.Unknown(q, part); len(unknown) > 0 {
			return nil, r.forbidden("status unknown for quota: %s, resources: %s", q.Name, strings.Join(unknown, ","))
		}
		if part = quota.Growth(part, nil); len(part) > 0 {
			requested[q.Name] = part
		}
	}
	return requested, nil
}

// reservationID returns the new object's uid, by which a list of objects shows that it is
// counted already. For an object that grows it is another.
func reservationID(r *Request) string {
	if o, err := meta.Accessor(r.Object); err == nil && r.Verb == Create && o.GetUID() != "" {
		return string(o.GetUID())
	}
	return "grows-" + uuid.NewString()
}

// Admit keeps the reservations of a quota that is updated: clients do not send them.
func (p *ResourceQuota) Admit(_ context.Context, r *Request) error {
	if r.Verb != Update || !r.is("resourcequotas", "") {
		return nil
	}
	if text, ok := reservedIn(r.Old); ok {
		if q, ok := r.Object.(*corev1.ResourceQuota); ok {
			metav1.SetMetaDataAnnotation(&q.ObjectMeta, quota.ReservedAnnotation, text)
		}
	}
	return nil
}

func reservedIn(o runtime.Object) (string, bool) {
	q, ok := o.(*corev1.ResourceQuota)
	if !ok {
		return "", false
	}
	text, ok := q.Annotations[quota.ReservedAnnotation]
	return text, ok
}
