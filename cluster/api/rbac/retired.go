package rbac

import (
	rbacv1 "k8s.io/api/rbac/v1"
	rbacv1alpha1 "k8s.io/api/rbac/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// The versions of 2016. A subject has an apiVersion there instead of a group, and the user "*" is every user.
var (
	rolesV1alpha1        = api.Retired[*rbacv1alpha1.Role, *rbacv1.Role]{Deprecated: sinceV1alpha1("Role")}.Version()
	clusterRolesV1alpha1 = api.Retired[*rbacv1alpha1.ClusterRole, *rbacv1.ClusterRole]{Deprecated: sinceV1alpha1("ClusterRole")}.Version()
	roleBindingsV1alpha1 = api.Retired[*rbacv1alpha1.RoleBinding, *rbacv1.RoleBinding]{
		Deprecated: sinceV1alpha1("RoleBinding"),
		ToStored: func(from *rbacv1alpha1.RoleBinding, to *rbacv1.RoleBinding) {
			subjectsToStored(from.Subjects, to.Subjects)
		},
		FromStored: func(from *rbacv1.RoleBinding, to *rbacv1alpha1.RoleBinding) {
			subjectsFromStored(from.Subjects, to.Subjects)
		},
	}.Version()
	clusterRoleBindingsV1alpha1 = api.Retired[*rbacv1alpha1.ClusterRoleBinding, *rbacv1.ClusterRoleBinding]{
		Deprecated: sinceV1alpha1("ClusterRoleBinding"),
		ToStored: func(from *rbacv1alpha1.ClusterRoleBinding, to *rbacv1.ClusterRoleBinding) {
			subjectsToStored(from.Subjects, to.Subjects)
		},
		FromStored: func(from *rbacv1.ClusterRoleBinding, to *rbacv1alpha1.ClusterRoleBinding) {
			subjectsFromStored(from.Subjects, to.Subjects)
		},
	}.Version()
)

func sinceV1alpha1(kind string) string {
	return "rbac.authorization.k8s.io/v1alpha1 " + kind + " is deprecated in v1.20+, unavailable in v1.22+; use rbac.authorization.k8s.io/v1 " + kind
}

func subjectsToStored(from []rbacv1alpha1.Subject, to []rbacv1.Subject) {
	for i := range to {
		s := &to[i]
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			s.APIGroup = ""
		case rbacv1.UserKind, rbacv1.GroupKind:
			s.APIGroup = rbacv1.GroupName
		default:
			if gv, err := schema.ParseGroupVersion(from[i].APIVersion); err == nil {
				s.APIGroup = gv.Group
			}
		}
		if s.Kind == rbacv1.UserKind && s.Name == "*" {
			s.Kind, s.Name = rbacv1.GroupKind, "system:authenticated"
		}
	}
}

func subjectsFromStored(from []rbacv1.Subject, to []rbacv1alpha1.Subject) {
	for i := range to {
		switch s := &from[i]; {
		case s.Kind == rbacv1.ServiceAccountKind && s.APIGroup == "":
			to[i].APIVersion = "v1"
		case (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) && s.APIGroup == rbacv1.GroupName:
			to[i].APIVersion = rbacv1alpha1.SchemeGroupVersion.String()
		default:
			to[i].APIVersion = schema.GroupVersion{Group: s.APIGroup}.String()
		}
	}
}
