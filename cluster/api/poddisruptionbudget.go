package api

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PodDisruptionBudgets says how many of some pods may be evicted at a time.
var PodDisruptionBudgets = &Kind{
	GroupVersionKind: gvk(policyv1.GroupName, "v1", "PodDisruptionBudget"),
	Plural:           "poddisruptionbudgets", Singular: "poddisruptionbudget",
	Short: []string{"pdb"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &policyv1.PodDisruptionBudget{} },
	NewList:   func() runtime.Object { return &policyv1.PodDisruptionBudgetList{} },

	PrepareCreate: do(func(b *policyv1.PodDisruptionBudget) {
		b.Status = policyv1.PodDisruptionBudgetStatus{}
		b.Generation = 1
	}),
	PrepareUpdate: do2(func(b, old *policyv1.PodDisruptionBudget) {
		b.Status = old.Status
		b.Generation = nextGeneration(old, b.Spec, old.Spec)
	}),
	PrepareStatus: do2(func(b, old *policyv1.PodDisruptionBudget) {
		b.Spec = old.Spec
		b.Generation = old.Generation
	}),

	Validate: as(func(b *policyv1.PodDisruptionBudget) field.ErrorList {
		return append(checkMeta(&b.ObjectMeta, true, dnsSubdomain), checkBudget(&b.Spec)...)
	}),
	ValidateUpdate: as2(func(b, old *policyv1.PodDisruptionBudget) field.ErrorList {
		return append(checkMetaUpdate(&b.ObjectMeta, &old.ObjectMeta), checkBudget(&b.Spec)...)
	}),
	ValidateStatus: as2(checkBudgetStatus),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Min Available", "string", 0, "Pods that must stay."),
		col("Max Unavailable", "string", 0, "Pods that may be missing."),
		col("Allowed Disruptions", "integer", 0, "Pods that may be evicted now."),
		ageColumn,
	},
	Row: as(func(b *policyv1.PodDisruptionBudget) []any {
		return []any{
			b.Name, orNA(b.Spec.MinAvailable), orNA(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), age(b.CreationTimestamp),
		}
	}),
}

func orNA(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

func checkBudget(*policyv1.PodDisruptionBudgetSpec) field.ErrorList { return nil }

func checkBudgetStatus(b, old *policyv1.PodDisruptionBudget) field.ErrorList {
	return checkMetaUpdate(&b.ObjectMeta, &old.ObjectMeta)
}
