package bootstrap

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// list reads the cache: an object that is missing there and created meanwhile answers
// AlreadyExists, which is as good.
var list = metav1.ListOptions{ResourceVersion: "0"}

func done(err error, what, name string) error {
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil // another API server was faster; the next pass looks again
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

// object is a pointer to a stored object of type T.
type object[T any] interface {
	*T
	metav1.Object
	DeepCopy() *T
}

// writes are the requests of a kind of objects in one namespace.
type writes[T any] interface {
	Create(ctx context.Context, o *T, opts metav1.CreateOptions) (*T, error)
	Update(ctx context.Context, o *T, opts metav1.UpdateOptions) (*T, error)
}

// ensure creates the objects that are missing. It changes those that there are by merge, if there is one; next is
// a copy of old with the labels and annotations of want. Where a pass has found nothing to write, the next ones
// only look whether an object has changed since.
func ensure[T any, O object[T]](ctx context.Context, w *writer, what string, have []T, defaults func() []O, in func(namespace string) writes[T], merge func(next, old, want O)) error {
	sum := fingerprint[T, O](have)
	if w.settled.is(what, sum) {
		return nil
	}
	wanted := defaults()
	var written atomic.Bool
	exists := make(map[string]O, len(have))
	for i := range have {
		o := O(&have[i])
		exists[o.GetNamespace()+"/"+o.GetName()] = o
	}
	err := w.each(len(wanted), func(i int) error {
		want := wanted[i]
		old := exists[want.GetNamespace()+"/"+want.GetName()]
		var err error
		switch {
		case old == nil:
			written.Store(true)
			_, err = in(want.GetNamespace()).Create(ctx, want, metav1.CreateOptions{})
		case merge != nil:
			next := O(old.DeepCopy())
			mergeMeta(next, want)
			merge(next, old, want)
			if old.GetAnnotations()[rbacv1.AutoUpdateAnnotationKey] == "false" || equality.Semantic.DeepEqual(old, next) {
				return nil
			}
			written.Store(true)
			_, err = in(want.GetNamespace()).Update(ctx, next, metav1.UpdateOptions{})
		}
		return done(err, what, want.GetName())
	})
	if err == nil && !written.Load() {
		w.settled.put(what, sum)
	}
	return err
}

// fingerprint is another one when an object was created, changed or deleted.
func fingerprint[T any, O object[T]](objects []T) string {
	h := sha256.New()
	for i := range objects {
		o := O(&objects[i])
		fmt.Fprintln(h, o.GetUID(), o.GetResourceVersion())
	}
	return string(h.Sum(nil))
}

// settled is what passes had nothing to write for: the fingerprint of each kind's objects.
type settled struct {
	mu  sync.Mutex
	sum map[string]string
}

func (s *settled) is(what, sum string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum[what] == sum
}

func (s *settled) put(what, sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum[what] = sum
}

var systemNamespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}

func (b *Bootstrap) namespaces(ctx context.Context, w *writer) error {
	c := b.Client.CoreV1().Namespaces()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	wanted := func() (all []*corev1.Namespace) {
		for _, name := range systemNamespaces {
			all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		return all
	}
	return ensure(ctx, w, "namespace", have.Items, wanted, func(string) writes[corev1.Namespace] { return c }, nil)
}

func (b *Bootstrap) priorityClasses(ctx context.Context, w *writer) error {
	c := b.Client.SchedulingV1().PriorityClasses()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing priority classes: %w", err)
	}
	return ensure(ctx, w, "priority class", have.Items, priorityClasses, func(string) writes[schedulingv1.PriorityClass] { return c }, nil)
}

func priorityClasses() []*schedulingv1.PriorityClass {
	return []*schedulingv1.PriorityClass{{
		ObjectMeta:  metav1.ObjectMeta{Name: "system-cluster-critical"},
		Value:       2_000_000_000,
		Description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
	}, {
		ObjectMeta:  metav1.ObjectMeta{Name: "system-node-critical"},
		Value:       2_000_001_000,
		Description: "Used for system critical pods that must not be moved from their current node.",
	}}
}

func (b *Bootstrap) clusterRoles(ctx context.Context, w *writer) error {
	c := b.Client.RbacV1().ClusterRoles()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing cluster roles: %w", err)
	}
	in := func(string) writes[rbacv1.ClusterRole] { return c }
	return ensure(ctx, w, "cluster role", have.Items, clusterRoles, in, func(next, old, want *rbacv1.ClusterRole) {
		next.Rules = mergeRules(old.Rules, want.Rules)
		if next.AggregationRule == nil {
			next.AggregationRule = want.AggregationRule
		}
	})
}

func (b *Bootstrap) clusterRoleBindings(ctx context.Context, w *writer) error {
	c := b.Client.RbacV1().ClusterRoleBindings()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing cluster role bindings: %w", err)
	}
	in := func(string) writes[rbacv1.ClusterRoleBinding] { return c }
	return ensure(ctx, w, "cluster role binding", have.Items, clusterRoleBindings, in, func(next, old, want *rbacv1.ClusterRoleBinding) {
		next.Subjects = mergeSubjects(withoutReplaced(want.Name, old.Subjects), want.Subjects)
	})
}

func (b *Bootstrap) roles(ctx context.Context, w *writer) error {
	have, err := b.Client.RbacV1().Roles("").List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing roles: %w", err)
	}
	in := func(namespace string) writes[rbacv1.Role] { return b.Client.RbacV1().Roles(namespace) }
	return ensure(ctx, w, "role", have.Items, namespacedRoles, in, func(next, old, want *rbacv1.Role) {
		next.Rules = mergeRules(old.Rules, want.Rules)
	})
}

// roleBindings of namespaces are created and not changed: a user may change them.
func (b *Bootstrap) roleBindings(ctx context.Context, w *writer) error {
	have, err := b.Client.RbacV1().RoleBindings("").List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing role bindings: %w", err)
	}
	in := func(namespace string) writes[rbacv1.RoleBinding] { return b.Client.RbacV1().RoleBindings(namespace) }
	return ensure(ctx, w, "role binding", have.Items, namespacedRoleBindings, in, nil)
}

func mergeMeta(have, want metav1.Object) {
	have.SetLabels(withMissing(have.GetLabels(), want.GetLabels()))
	have.SetAnnotations(withMissing(have.GetAnnotations(), want.GetAnnotations()))
}

// withMissing adds what have does not have.
func withMissing(have, want map[string]string) map[string]string {
	for k, v := range want {
		if _, ok := have[k]; !ok {
			if have == nil {
				have = map[string]string{}
			}
			have[k] = v
		}
	}
	return have
}

// mergeRules adds the rules that have does not grant yet.
func mergeRules(have, want []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	if covered, missing := validation.Covers(have, want); !covered {
		return append(append([]rbacv1.PolicyRule(nil), have...), missing...)
	}
	return have
}

func mergeSubjects(have, want []rbacv1.Subject) []rbacv1.Subject {
	out := append([]rbacv1.Subject(nil), have...)
next:
	for _, s := range want {
		for _, h := range have {
			if h == s {
				continue next
			}
		}
		out = append(out, s)
	}
	return out
}
