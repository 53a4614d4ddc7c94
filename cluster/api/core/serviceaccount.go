package core

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// ServiceAccounts is the kind ServiceAccount: the identity of pods at the API server.
var ServiceAccounts = api.Of[corev1.ServiceAccount, corev1.ServiceAccountList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "ServiceAccount"),
	Plural:           "serviceaccounts", Singular: "serviceaccount", Short: []string{"sa"}, Namespaced: true,
	Connect: []api.Subresource{
		{Name: "token", Kind: api.GVK(authenticationv1.GroupName, "v1", "TokenRequest"), Verbs: []string{"create"}},
	},

	Validate:       rules.Typed(validateServiceAccount),
	ValidateUpdate: rules.ValidateUpdate(validateServiceAccount),

	Warn: rules.Typed(serviceAccountWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn, rules.AgeColumn,
	},
	Row: rules.Typed(func(s *corev1.ServiceAccount) []any { return []any{s.Name, rules.Age(s.CreationTimestamp)} }),
})

func validateServiceAccount(s *corev1.ServiceAccount) field.ErrorList {
	return rules.ValidateObjectMeta(&s.ObjectMeta, true, rules.DNSSubdomain)
}
