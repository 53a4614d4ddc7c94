package api

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ResourceQuotas says how much a namespace may hold.
var ResourceQuotas = &Kind{
	GroupVersionKind: gvk("", "v1", "ResourceQuota"),
	Plural:           "resourcequotas", Singular: "resourcequota", Short: []string{"quota"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &corev1.ResourceQuota{} },
	NewList:   func() runtime.Object { return &corev1.ResourceQuotaList{} },

	PrepareCreate: do(func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} }),
	PrepareUpdate: do2(func(q, old *corev1.ResourceQuota) { q.Status = old.Status }),
	PrepareStatus: do2(func(q, old *corev1.ResourceQuota) { q.Spec = old.Spec }),

	Validate: as(func(q *corev1.ResourceQuota) field.ErrorList {
		return append(checkMeta(&q.ObjectMeta, true, dnsSubdomain), checkQuotaSpec(&q.Spec)...)
	}),
	ValidateUpdate: as2(func(q, old *corev1.ResourceQuota) field.ErrorList {
		errs := append(checkMetaUpdate(&q.ObjectMeta, &old.ObjectMeta), checkQuotaSpec(&q.Spec)...)
		if !slices.Equal(sorted(q.Spec.Scopes), sorted(old.Spec.Scopes)) {
			errs = append(errs, field.Invalid(specPath.Child("scopes"), q.Spec.Scopes, "field is immutable"))
		}
		return errs
	}),
	ValidateStatus: as2(func(q, old *corev1.ResourceQuota) field.ErrorList {
		errs := checkMetaUpdate(&q.ObjectMeta, &old.ObjectMeta)
		errs = append(errs, checkQuotaList(q.Status.Hard, statusPath.Child("hard"))...)
		return append(errs, checkQuotaList(q.Status.Used, statusPath.Child("used"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		ageColumn,
		col("Request", "string", 0, "What is used, of what may be requested."),
		col("Limit", "string", 0, "What is used, of the limits."),
	},
	Row: as(func(q *corev1.ResourceQuota) []any {
		var names []string
		for n := range q.Status.Hard {
			names = append(names, string(n))
		}
		sort.Strings(names)
		var requests, limits []string
		for _, n := range names {
			used, hard := q.Status.Used[corev1.ResourceName(n)], q.Status.Hard[corev1.ResourceName(n)]
			s := fmt.Sprintf("%s: %s/%s", n, used.String(), hard.String())
			if strings.HasPrefix(n, "limits") {
				limits = append(limits, s)
			} else {
				requests = append(requests, s)
			}
		}
		return []any{q.Name, age(q.CreationTimestamp), strings.Join(requests, ", "), strings.Join(limits, ", ")}
	}),
}
