package api

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ServiceAccounts is who a pod is to the API server.
var ServiceAccounts = &Kind{
	GroupVersionKind: gvk("", "v1", "ServiceAccount"),
	Plural:           "serviceaccounts", Singular: "serviceaccount", Short: []string{"sa"}, Namespaced: true,
	Connect: []Subresource{
		{Name: "token", Kind: gvk(authenticationv1.GroupName, "v1", "TokenRequest"), Verbs: []string{"create"}},
	},
	New:     func() Object { return &corev1.ServiceAccount{} },
	NewList: func() runtime.Object { return &corev1.ServiceAccountList{} },

	Validate: as(checkServiceAccount),
	ValidateUpdate: as2(func(s, old *corev1.ServiceAccount) field.ErrorList {
		return append(checkMetaUpdate(&s.ObjectMeta, &old.ObjectMeta), checkServiceAccount(s)...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn, col("Secrets", "string", 0, "Number of secrets that its pods may use."), ageColumn,
	},
	Row: as(func(s *corev1.ServiceAccount) []any {
		return []any{s.Name, int64(len(s.Secrets)), age(s.CreationTimestamp)}
	}),
}

func checkServiceAccount(s *corev1.ServiceAccount) field.ErrorList {
	return checkMeta(&s.ObjectMeta, true, dnsSubdomain)
}
