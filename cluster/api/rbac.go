package api

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Roles allows things in one namespace.
var Roles = &Kind{
	GroupVersionKind: gvk(rbacv1.GroupName, "v1", "Role"),
	Plural:           "roles", Singular: "role", Namespaced: true,
	New:     func() Object { return &rbacv1.Role{} },
	NewList: func() runtime.Object { return &rbacv1.RoleList{} },
	Validate: as(func(r *rbacv1.Role) field.ErrorList {
		return append(checkMeta(&r.ObjectMeta, true, pathSegment), checkRules(r.Rules, true)...)
	}),
	ValidateUpdate: as2(func(r, old *rbacv1.Role) field.ErrorList {
		return append(checkMetaUpdate(&r.ObjectMeta, &old.ObjectMeta), checkRules(r.Rules, true)...)
	}),
	Columns: []metav1.TableColumnDefinition{nameColumn, createdAtColumn},
	Row:     as(func(r *rbacv1.Role) []any { return []any{r.Name, createdAt(&r.ObjectMeta)} }),
}

// ClusterRoles allows things in the cluster, or in a namespace when bound there.
var ClusterRoles = &Kind{
	GroupVersionKind: gvk(rbacv1.GroupName, "v1", "ClusterRole"),
	Plural:           "clusterroles", Singular: "clusterrole",
	New:     func() Object { return &rbacv1.ClusterRole{} },
	NewList: func() runtime.Object { return &rbacv1.ClusterRoleList{} },
	Validate: as(func(r *rbacv1.ClusterRole) field.ErrorList {
		return append(checkMeta(&r.ObjectMeta, false, pathSegment), checkClusterRole(r)...)
	}),
	ValidateUpdate: as2(func(r, old *rbacv1.ClusterRole) field.ErrorList {
		return append(checkMetaUpdate(&r.ObjectMeta, &old.ObjectMeta), checkClusterRole(r)...)
	}),
	Columns: []metav1.TableColumnDefinition{nameColumn, createdAtColumn},
	Row:     as(func(r *rbacv1.ClusterRole) []any { return []any{r.Name, createdAt(&r.ObjectMeta)} }),
}

// RoleBindings gives a role to somebody in one namespace.
var RoleBindings = &Kind{
	GroupVersionKind: gvk(rbacv1.GroupName, "v1", "RoleBinding"),
	Plural:           "rolebindings", Singular: "rolebinding", Namespaced: true,
	New:     func() Object { return &rbacv1.RoleBinding{} },
	NewList: func() runtime.Object { return &rbacv1.RoleBindingList{} },
	Default: do(func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
	Validate: as(func(b *rbacv1.RoleBinding) field.ErrorList {
		return append(checkMeta(&b.ObjectMeta, true, pathSegment), checkRoleBinding(&b.RoleRef, b.Subjects, true)...)
	}),
	ValidateUpdate: as2(func(b, old *rbacv1.RoleBinding) field.ErrorList {
		errs := append(checkMetaUpdate(&b.ObjectMeta, &old.ObjectMeta), checkRoleBinding(&b.RoleRef, b.Subjects, true)...)
		return append(errs, checkSameRole(b.RoleRef, old.RoleRef)...)
	}),
	Columns: bindingColumns,
	Row: as(func(b *rbacv1.RoleBinding) []any {
		return bindingRow(&b.ObjectMeta, b.RoleRef, b.Subjects)
	}),
}

// ClusterRoleBindings gives a role to somebody in the whole cluster.
var ClusterRoleBindings = &Kind{
	GroupVersionKind: gvk(rbacv1.GroupName, "v1", "ClusterRoleBinding"),
	Plural:           "clusterrolebindings", Singular: "clusterrolebinding",
	New:     func() Object { return &rbacv1.ClusterRoleBinding{} },
	NewList: func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },
	Default: do(func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
	Validate: as(func(b *rbacv1.ClusterRoleBinding) field.ErrorList {
		return append(checkMeta(&b.ObjectMeta, false, pathSegment), checkRoleBinding(&b.RoleRef, b.Subjects, false)...)
	}),
	ValidateUpdate: as2(func(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
		errs := append(checkMetaUpdate(&b.ObjectMeta, &old.ObjectMeta), checkRoleBinding(&b.RoleRef, b.Subjects, false)...)
		return append(errs, checkSameRole(b.RoleRef, old.RoleRef)...)
	}),
	Columns: bindingColumns,
	Row: as(func(b *rbacv1.ClusterRoleBinding) []any {
		return bindingRow(&b.ObjectMeta, b.RoleRef, b.Subjects)
	}),
}

func checkClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := checkRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	p := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		return append(errs, field.Required(p, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		errs = append(errs, metav1validation.ValidateLabelSelector(&r.AggregationRule.ClusterRoleSelectors[i],
			metav1validation.LabelSelectorValidationOptions{}, p.Index(i))...)
	}
	return errs
}

func checkRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		r, p := &rules[i], field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			errs = append(errs, field.Required(p.Child("verbs"), "verbs must contain at least one value"))
		}
		if len(r.NonResourceURLs) > 0 {
			if namespaced {
				errs = append(errs, field.Invalid(p.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
			}
			if len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(p.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			errs = append(errs, field.Required(p.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(r.Resources) == 0 {
			errs = append(errs, field.Required(p.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs
}

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	setDefault(&ref.APIGroup, rbacv1.GroupName)
	for i := range subjects {
		if k := subjects[i].Kind; k == rbacv1.UserKind || k == rbacv1.GroupKind {
			setDefault(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

func checkRoleBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	p := field.NewPath("roleRef")
	errs = append(errs, oneOf(ref.APIGroup, p.Child("apiGroup"), rbacv1.GroupName)...)
	if namespaced {
		errs = append(errs, oneOf(ref.Kind, p.Child("kind"), "Role", "ClusterRole")...)
	} else {
		errs = append(errs, oneOf(ref.Kind, p.Child("kind"), "ClusterRole")...)
	}
	if ref.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	} else {
		errs = append(errs, invalid(p.Child("name"), ref.Name, pathSegment(ref.Name, false))...)
	}
	for i := range subjects {
		errs = append(errs, checkSubject(&subjects[i], namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func checkSubject(s *rbacv1.Subject, namespaced bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	}
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			errs = append(errs, invalid(p.Child("name"), s.Name, dnsSubdomain(s.Name, false))...)
		}
		errs = append(errs, oneOf(s.APIGroup, p.Child("apiGroup"), "")...)
		if !namespaced && s.Namespace == "" {
			errs = append(errs, field.Required(p.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, oneOf(s.APIGroup, p.Child("apiGroup"), rbacv1.GroupName)...)
	default:
		errs = append(errs, field.NotSupported(p.Child("kind"), s.Kind,
			[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	return errs
}

// checkSameRole: who was trusted with a binding must not find another role behind it.
func checkSameRole(ref, old rbacv1.RoleRef) field.ErrorList {
	if ref == old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), ref, "cannot change roleRef")}
}

var bindingColumns = []metav1.TableColumnDefinition{
	nameColumn,
	col("Role", "string", 0, "The role that is given."),
	ageColumn,
	col("Users", "string", 1, "Users that get it."),
	col("Groups", "string", 1, "Groups that get it."),
	col("ServiceAccounts", "string", 1, "Service accounts that get it."),
}

func bindingRow(m *metav1.ObjectMeta, ref rbacv1.RoleRef, subjects []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []any{
		m.Name, fmt.Sprintf("%s/%s", ref.Kind, ref.Name), age(m.CreationTimestamp),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", "),
	}
}
