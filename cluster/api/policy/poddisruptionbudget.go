// Package policy has the kinds of the group policy, and their retired versions.
package policy

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// PodDisruptionBudgets is the kind PodDisruptionBudget: how many of the selected pods may be evicted at a time.
var PodDisruptionBudgets = rules.SpecAndStatus(api.Of[policyv1.PodDisruptionBudget, policyv1.PodDisruptionBudgetList](&api.Kind{
	GroupVersionKind: api.GVK(policyv1.GroupName, "v1", "PodDisruptionBudget"),
	Plural:           "poddisruptionbudgets", Singular: "poddisruptionbudget",
	Short: []string{"pdb"}, Namespaced: true,
	HasStatus: true,
	Versions:  []api.Version{PodDisruptionBudgetsV1beta1},

	// The server validates the metadata; upstream has no further rule.
	Validate:       rules.Typed(validateBudget),
	ValidateUpdate: rules.TypedUpdate(func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList { return validateBudget(b) }),
	ValidateStatus: rules.TypedUpdate(validateBudgetStatus),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Min Available", "string", 0, "The minimum number of pods that must be available."),
		rules.Column("Max Unavailable", "string", 0, "The maximum number of pods that may be unavailable."),
		rules.Column("Allowed Disruptions", "integer", 0, "Calculated number of pods that may be disrupted at this time."),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(b *policyv1.PodDisruptionBudget) []any {
		return []any{
			b.Name, orNA(b.Spec.MinAvailable), orNA(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), rules.Age(b.CreationTimestamp),
		}
	}),
}), func(o *policyv1.PodDisruptionBudget) (*policyv1.PodDisruptionBudgetSpec, *policyv1.PodDisruptionBudgetStatus) {
	return &o.Spec, &o.Status
})

func orNA(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

func validateBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	s := &b.Spec
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(rules.SpecPath, *s, "minAvailable and maxUnavailable cannot be both set"))
	}
	for i, v := range []*intstr.IntOrString{s.MinAvailable, s.MaxUnavailable} {
		if v != nil {
			p := rules.SpecPath.Child([]string{"minAvailable", "maxUnavailable"}[i])
			errs = append(errs, rules.ValidatePositiveIntOrPercent(*v, p)...)
			errs = append(errs, rules.IsNotMoreThan100Percent(*v, p)...)
		}
	}
	errs = append(errs, podrules.ValidateLabelSelector(s.Selector, rules.SpecPath.Child("selector"))...)
	errs = append(errs, rules.OptionalOneOf(s.UnhealthyPodEvictionPolicy, rules.SpecPath.Child("unhealthyPodEvictionPolicy"), policyv1.AlwaysAllow, policyv1.IfHealthyBudget)...)
	return errs
}

func validateBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	errs := metav1validation.ValidateConditions(b.Status.Conditions, rules.StatusPath.Child("conditions"))
	errs = append(errs, rules.NonNegativeCounts(
		rules.Count("disruptionsAllowed", b.Status.DisruptionsAllowed),
		rules.Count("currentHealthy", b.Status.CurrentHealthy),
		rules.Count("desiredHealthy", b.Status.DesiredHealthy),
		rules.Count("expectedPods", b.Status.ExpectedPods),
	)...)
	return errs
}
