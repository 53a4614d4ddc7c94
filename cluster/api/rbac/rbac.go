// Package rbac has the kinds of the group rbac.authorization.k8s.io.
package rbac

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Roles is the kind Role: permissions in one namespace.
var Roles = api.Of[rbacv1.Role, rbacv1.RoleList](&api.Kind{
	GroupVersionKind: api.GVK(rbacv1.GroupName, "v1", "Role"),
	Plural:           "roles", Singular: "role", Namespaced: true,
	Versions:       []api.Version{api.Retired[*rbacv1beta1.Role, *rbacv1.Role]{}.Version(), rolesV1alpha1},
	Default:        rules.Mutate(func(r *rbacv1.Role) { r.Rules = noEmpty(r.Rules) }),
	Validate:       rules.Validate(true, rules.PathSegment, validateRole),
	ValidateUpdate: rules.WholeUpdate[*rbacv1.Role](rules.Validate(true, rules.PathSegment, validateRole)),
	Columns:        []metav1.TableColumnDefinition{rules.NameColumn, rules.CreatedAtColumn},
	Row:            rules.Typed(func(r *rbacv1.Role) []any { return []any{r.Name, rules.CreatedAt(&r.ObjectMeta)} }),
})

// ClusterRoles is the kind ClusterRole: permissions in the cluster, or in the namespace of a RoleBinding.
var ClusterRoles = api.Of[rbacv1.ClusterRole, rbacv1.ClusterRoleList](&api.Kind{
	GroupVersionKind: api.GVK(rbacv1.GroupName, "v1", "ClusterRole"),
	Plural:           "clusterroles", Singular: "clusterrole",
	Versions:       []api.Version{api.Retired[*rbacv1beta1.ClusterRole, *rbacv1.ClusterRole]{}.Version(), clusterRolesV1alpha1},
	Default:        rules.Mutate(func(r *rbacv1.ClusterRole) { r.Rules = noEmpty(r.Rules) }),
	Validate:       rules.Validate(false, rules.PathSegment, validateClusterRole),
	ValidateUpdate: rules.WholeUpdate[*rbacv1.ClusterRole](rules.Validate(false, rules.PathSegment, validateClusterRole)),
	Columns:        []metav1.TableColumnDefinition{rules.NameColumn, rules.CreatedAtColumn},
	Row:            rules.Typed(func(r *rbacv1.ClusterRole) []any { return []any{r.Name, rules.CreatedAt(&r.ObjectMeta)} }),
})

// noEmpty returns nil for an empty list, as upstream's storage does: the field is written always.
func noEmpty(list []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	if len(list) == 0 {
		return nil
	}
	return list
}

// RoleBindings is the kind RoleBinding: it grants a role to subjects in one namespace.
var RoleBindings = api.Of[rbacv1.RoleBinding, rbacv1.RoleBindingList](&api.Kind{
	GroupVersionKind: api.GVK(rbacv1.GroupName, "v1", "RoleBinding"),
	Plural:           "rolebindings", Singular: "rolebinding", Namespaced: true,
	Versions: []api.Version{api.Retired[*rbacv1beta1.RoleBinding, *rbacv1.RoleBinding]{}.Version(), roleBindingsV1alpha1},
	Default:  rules.Mutate(func(b *rbacv1.RoleBinding) { defaultRoleBinding(&b.RoleRef, b.Subjects) }),
	Validate: rules.Validate(true, rules.PathSegment, validateRoleBinding),
	ValidateUpdate: rules.WholeUpdate(rules.Validate(true, rules.PathSegment, validateRoleBinding), func(b, old *rbacv1.RoleBinding) field.ErrorList {
		return validateRoleRefUpdate(b.RoleRef, old.RoleRef)
	}),
	Columns: bindingColumns,
	Row: rules.Typed(func(b *rbacv1.RoleBinding) []any {
		return bindingRow(&b.ObjectMeta, b.RoleRef, b.Subjects)
	}),
})

// ClusterRoleBindings is the kind ClusterRoleBinding: it grants a role to subjects in the whole cluster.
var ClusterRoleBindings = api.Of[rbacv1.ClusterRoleBinding, rbacv1.ClusterRoleBindingList](&api.Kind{
	GroupVersionKind: api.GVK(rbacv1.GroupName, "v1", "ClusterRoleBinding"),
	Plural:           "clusterrolebindings", Singular: "clusterrolebinding",
	Versions: []api.Version{api.Retired[*rbacv1beta1.ClusterRoleBinding, *rbacv1.ClusterRoleBinding]{}.Version(), clusterRoleBindingsV1alpha1},
	Default:  rules.Mutate(func(b *rbacv1.ClusterRoleBinding) { defaultRoleBinding(&b.RoleRef, b.Subjects) }),
	Validate: rules.Validate(false, rules.PathSegment, validateClusterRoleBinding),
	ValidateUpdate: rules.WholeUpdate(rules.Validate(false, rules.PathSegment, validateClusterRoleBinding), func(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
		return validateRoleRefUpdate(b.RoleRef, old.RoleRef)
	}),
	Columns: bindingColumns,
	Row: rules.Typed(func(b *rbacv1.ClusterRoleBinding) []any {
		return bindingRow(&b.ObjectMeta, b.RoleRef, b.Subjects)
	}),
})

func validateRole(r *rbacv1.Role) field.ErrorList { return validatePolicyRules(r.Rules, true) }

func validateClusterRole(r *rbacv1.ClusterRole) field.ErrorList {
	errs := validatePolicyRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	p := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(r.AggregationRule.ClusterRoleSelectors) == 0 {
		return append(errs, field.Required(p, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	for i := range r.AggregationRule.ClusterRoleSelectors {
		s := &r.AggregationRule.ClusterRoleSelectors[i]
		errs = append(errs, metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, p.Index(i))...)
		if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
			errs = append(errs, field.Invalid(p.Index(i), nil, "invalid label selector."))
		}
	}
	return errs
}

func validatePolicyRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
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

func defaultRoleBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	rules.SetDefault(&ref.APIGroup, rbacv1.GroupName)
	for i := range subjects {
		if k := subjects[i].Kind; k == rbacv1.UserKind || k == rbacv1.GroupKind {
			rules.SetDefault(&subjects[i].APIGroup, rbacv1.GroupName)
		}
	}
}

func validateRoleBinding(b *rbacv1.RoleBinding) field.ErrorList {
	return validateBinding(&b.RoleRef, b.Subjects, true)
}

func validateClusterRoleBinding(b *rbacv1.ClusterRoleBinding) field.ErrorList {
	return validateBinding(&b.RoleRef, b.Subjects, false)
}

func validateBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	p := field.NewPath("roleRef")
	errs = append(errs, rules.OneOf(ref.APIGroup, p.Child("apiGroup"), rbacv1.GroupName)...)
	if namespaced {
		errs = append(errs, rules.OneOf(ref.Kind, p.Child("kind"), "Role", "ClusterRole")...)
	} else {
		errs = append(errs, rules.OneOf(ref.Kind, p.Child("kind"), "ClusterRole")...)
	}
	errs = append(errs, rules.RequiredValue(ref.Name, p.Child("name"), content.IsPathSegmentName)...)
	for i := range subjects {
		errs = append(errs, validateSubject(&subjects[i], namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func validateSubject(s *rbacv1.Subject, namespaced bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, rules.Required(s.Name, p.Child("name"))...)
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		errs = append(errs, rules.OptionalValue(s.Name, p.Child("name"), validation.IsDNS1123Subdomain)...)
		errs = append(errs, rules.OneOf(s.APIGroup, p.Child("apiGroup"), "")...)
		if !namespaced && s.Namespace == "" {
			errs = append(errs, field.Required(p.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, rules.OneOf(s.APIGroup, p.Child("apiGroup"), rbacv1.GroupName)...)
	default:
		errs = append(errs, field.NotSupported(p.Child("kind"), s.Kind,
			[]string{rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind}))
	}
	return errs
}

// validateRoleRefUpdate reports a change of the role: subjects were granted the old one.
func validateRoleRefUpdate(ref, old rbacv1.RoleRef) field.ErrorList {
	if ref == old {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("roleRef"), ref, "cannot change roleRef")}
}

var bindingColumns = []metav1.TableColumnDefinition{
	rules.NameColumn,
	rules.Column("Role", "string", 0, rules.Doc(rbacv1beta1.RoleBinding{}, "roleRef")),
	rules.AgeColumn,
	rules.Column("Users", "string", 1, "Users in the roleBinding"),
	rules.Column("Groups", "string", 1, "Groups in the roleBinding"),
	rules.Column("ServiceAccounts", "string", 1, "ServiceAccounts in the roleBinding"),
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
		m.Name, fmt.Sprintf("%s/%s", ref.Kind, ref.Name), rules.Age(m.CreationTimestamp),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", "),
	}
}
