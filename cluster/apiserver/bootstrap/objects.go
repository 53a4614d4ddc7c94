package bootstrap

import (
	"context"
	"fmt"

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

var systemNamespaces = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}

func (b *Bootstrap) namespaces(ctx context.Context, w *writer) error {
	c := b.Client.CoreV1().Namespaces()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing namespaces: %w", err)
	}
	exists := names(have.Items, func(n *corev1.Namespace) string { return n.Name })
	return w.each(len(systemNamespaces), func(i int) error {
		name := systemNamespaces[i]
		if exists[name] != nil {
			return nil
		}
		_, err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return done(err, "namespace", name)
	})
}

func (b *Bootstrap) priorityClasses(ctx context.Context, w *writer) error {
	c := b.Client.SchedulingV1().PriorityClasses()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing priority classes: %w", err)
	}
	exists := names(have.Items, func(p *schedulingv1.PriorityClass) string { return p.Name })
	wanted := priorityClasses()
	return w.each(len(wanted), func(i int) error {
		if exists[wanted[i].Name] != nil {
			return nil
		}
		_, err := c.Create(ctx, wanted[i], metav1.CreateOptions{})
		return done(err, "priority class", wanted[i].Name)
	})
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
	exists := names(have.Items, func(r *rbacv1.ClusterRole) string { return r.Name })
	wanted := clusterRoles()
	return w.each(len(wanted), func(i int) error {
		role := wanted[i]
		old := exists[role.Name]
		if old == nil {
			_, err := c.Create(ctx, role, metav1.CreateOptions{})
			return done(err, "cluster role", role.Name)
		}
		next := old.DeepCopy()
		mergeMeta(&next.ObjectMeta, &role.ObjectMeta)
		next.Rules = mergeRules(old.Rules, role.Rules)
		if next.AggregationRule == nil {
			next.AggregationRule = role.AggregationRule
		}
		if frozen(old.Annotations) || equality.Semantic.DeepEqual(old, next) {
			return nil
		}
		_, err := c.Update(ctx, next, metav1.UpdateOptions{})
		return done(err, "cluster role", role.Name)
	})
}

func (b *Bootstrap) clusterRoleBindings(ctx context.Context, w *writer) error {
	c := b.Client.RbacV1().ClusterRoleBindings()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing cluster role bindings: %w", err)
	}
	exists := names(have.Items, func(r *rbacv1.ClusterRoleBinding) string { return r.Name })
	wanted := clusterRoleBindings()
	return w.each(len(wanted), func(i int) error {
		binding := wanted[i]
		old := exists[binding.Name]
		if old == nil {
			_, err := c.Create(ctx, binding, metav1.CreateOptions{})
			return done(err, "cluster role binding", binding.Name)
		}
		next := old.DeepCopy()
		mergeMeta(&next.ObjectMeta, &binding.ObjectMeta)
		next.Subjects = mergeSubjects(withoutReplaced(binding.Name, old.Subjects), binding.Subjects)
		if frozen(old.Annotations) || equality.Semantic.DeepEqual(old, next) {
			return nil
		}
		_, err := c.Update(ctx, next, metav1.UpdateOptions{})
		return done(err, "cluster role binding", binding.Name)
	})
}

// roles and roleBindings of namespaces are created and not changed: a user may change them.
func (b *Bootstrap) roles(ctx context.Context, w *writer) error {
	wanted := namespacedRoles()
	have, err := b.Client.RbacV1().Roles("").List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing roles: %w", err)
	}
	exists := names(have.Items, func(r *rbacv1.Role) string { return r.Namespace + "/" + r.Name })
	return w.each(len(wanted), func(i int) error {
		r := wanted[i]
		old := exists[r.Namespace+"/"+r.Name]
		if old == nil {
			_, err := b.Client.RbacV1().Roles(r.Namespace).Create(ctx, r, metav1.CreateOptions{})
			return done(err, "role", r.Name)
		}
		next := old.DeepCopy()
		mergeMeta(&next.ObjectMeta, &r.ObjectMeta)
		next.Rules = mergeRules(old.Rules, r.Rules)
		if frozen(old.Annotations) || equality.Semantic.DeepEqual(old, next) {
			return nil
		}
		_, err := b.Client.RbacV1().Roles(r.Namespace).Update(ctx, next, metav1.UpdateOptions{})
		return done(err, "role", r.Name)
	})
}

func (b *Bootstrap) roleBindings(ctx context.Context, w *writer) error {
	wanted := namespacedRoleBindings()
	have, err := b.Client.RbacV1().RoleBindings("").List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing role bindings: %w", err)
	}
	exists := names(have.Items, func(r *rbacv1.RoleBinding) string { return r.Namespace + "/" + r.Name })
	return w.each(len(wanted), func(i int) error {
		r := wanted[i]
		if exists[r.Namespace+"/"+r.Name] != nil {
			return nil
		}
		_, err := b.Client.RbacV1().RoleBindings(r.Namespace).Create(ctx, r, metav1.CreateOptions{})
		return done(err, "role binding", r.Name)
	})
}

func names[T any](items []T, name func(*T) string) map[string]*T {
	out := make(map[string]*T, len(items))
	for i := range items {
		out[name(&items[i])] = &items[i]
	}
	return out
}

// frozen reports whether an object has the annotation that keeps it from being updated.
func frozen(annotations map[string]string) bool {
	return annotations[rbacv1.AutoUpdateAnnotationKey] == "false"
}

func mergeMeta(have, want *metav1.ObjectMeta) {
	for k, v := range want.Labels {
		if _, ok := have.Labels[k]; !ok {
			metav1.SetMetaDataLabel(have, k, v)
		}
	}
	for k, v := range want.Annotations {
		if _, ok := have.Annotations[k]; !ok {
			metav1.SetMetaDataAnnotation(have, k, v)
		}
	}
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
