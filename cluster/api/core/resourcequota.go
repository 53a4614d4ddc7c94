package core

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// ResourceQuotas is the kind ResourceQuota: the limits of what a namespace may use.
var ResourceQuotas = api.Of[corev1.ResourceQuota, corev1.ResourceQuotaList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "ResourceQuota"),
	Plural:           "resourcequotas", Singular: "resourcequota", Short: []string{"quota"}, Namespaced: true,
	HasStatus: true,

	PrepareCreate: rules.Mutate(func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} }),
	PrepareUpdate: rules.MutateUpdate(func(q, old *corev1.ResourceQuota) { q.Status = old.Status }),
	PrepareStatus: rules.MutateUpdate(func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec }),

	Validate: rules.Validate(true, rules.DNSSubdomain, validateResourceQuota),
	ValidateUpdate: rules.TypedUpdate(func(q, old *corev1.ResourceQuota) field.ErrorList {
		errs := append(rules.ValidateObjectMetaUpdate(&q.ObjectMeta, &old.ObjectMeta), validateResourceQuota(q)...)
		if !slices.Equal(sorted(q.Spec.Scopes), sorted(old.Spec.Scopes)) {
			errs = append(errs, field.Invalid(rules.SpecPath.Child("scopes"), q.Spec.Scopes, "field is immutable"))
		}
		return errs
	}),
	ValidateStatus: rules.TypedUpdate(func(q, old *corev1.ResourceQuota) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&q.ObjectMeta, &old.ObjectMeta)
		errs = append(errs, validateQuotaResources(q.Status.Hard, rules.StatusPath.Child("hard"))...)
		return append(errs, validateQuotaResources(q.Status.Used, rules.StatusPath.Child("used"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Request", "string", 0, "Request represents a minimum amount of cpu/memory that a container may consume."),
		rules.Column("Limit", "string", 0, "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node."),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(q *corev1.ResourceQuota) []any {
		var names []string
		for n := range q.Status.Hard {
			names = append(names, string(n))
		}
		sort.Strings(names)
		var requests, limits []string
		for _, n := range names {
			used, hard := q.Status.Used[corev1.ResourceName(n)], q.Status.Hard[corev1.ResourceName(n)]
			s := fmt.Sprintf("%s: %s/%s", n, used.String(), hard.String())
			if strings.HasPrefix(n, "limits.") {
				limits = append(limits, s)
			} else {
				requests = append(requests, s)
			}
		}
		return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), rules.Age(q.CreationTimestamp)}
	}),
})
