package api

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
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

func checkBudget(s *policyv1.PodDisruptionBudgetSpec) field.ErrorList {
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(specPath, *s, "minAvailable and maxUnavailable cannot be both set"))
	}
	for i, v := range []*intstr.IntOrString{s.MinAvailable, s.MaxUnavailable} {
		if v != nil {
			p := specPath.Child([]string{"minAvailable", "maxUnavailable"}[i])
			errs = append(errs, checkCountOrPercent(*v, p)...)
			errs = append(errs, checkWithin100Percent(*v, p)...)
		}
	}
	errs = append(errs, checkSelector(s.Selector, specPath.Child("selector"))...)
	if e := s.UnhealthyPodEvictionPolicy; e != nil {
		errs = append(errs, oneOf(*e, specPath.Child("unhealthyPodEvictionPolicy"), policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
	}
	return errs
}

func checkBudgetStatus(b, old *policyv1.PodDisruptionBudget) field.ErrorList {
	errs := append(checkMetaUpdate(&b.ObjectMeta, &old.ObjectMeta),
		metav1validation.ValidateConditions(b.Status.Conditions, statusPath.Child("conditions"))...)
	for _, n := range []count{
		{"disruptionsAllowed", int64(b.Status.DisruptionsAllowed)},
		{"currentHealthy", int64(b.Status.CurrentHealthy)},
		{"desiredHealthy", int64(b.Status.DesiredHealthy)},
		{"expectedPods", int64(b.Status.ExpectedPods)},
	} {
		errs = append(errs, nonnegative(n.value, statusPath.Child(n.name))...)
	}
	return errs
}
