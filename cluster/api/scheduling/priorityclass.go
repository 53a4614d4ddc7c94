// Package scheduling has the kinds of the group scheduling.k8s.io.
package scheduling

import (
	"fmt"
	"strings"

	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// PriorityClasses is the kind PriorityClass: a name for a priority of pods.
var PriorityClasses = api.Of[schedulingv1.PriorityClass, schedulingv1.PriorityClassList](&api.Kind{
	GroupVersionKind: api.GVK(schedulingv1.GroupName, "v1", "PriorityClass"),
	Plural:           "priorityclasses", Singular: "priorityclass", Short: []string{"pc"},
	Versions: []api.Version{api.Retired[*schedulingv1beta1.PriorityClass, *schedulingv1.PriorityClass]{}.Version()},

	Default: rules.Mutate(func(p *schedulingv1.PriorityClass) {
		rules.SetDefaultPtr(&p.PreemptionPolicy, corev1.PreemptLowerPriority)
	}),
	PrepareCreate: rules.Mutate(func(p *schedulingv1.PriorityClass) { p.Generation = 1 }),
	PrepareUpdate: rules.MutateUpdate(func(p, old *schedulingv1.PriorityClass) { p.Generation = old.Generation }),
	Validate:      rules.Typed(validatePriorityClass),
	ValidateUpdate: rules.TypedUpdate(func(p, old *schedulingv1.PriorityClass) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&p.ObjectMeta, &old.ObjectMeta)
		if p.Value != old.Value {
			errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
		}
		return append(errs, rules.Immutable(p.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Value", "integer", 0, rules.Doc(schedulingv1.PriorityClass{}, "value")),
		rules.Column("Global-Default", "boolean", 0, rules.Doc(schedulingv1.PriorityClass{}, "globalDefault")),
		rules.AgeColumn,
		rules.Column("PreemptionPolicy", "string", 0, rules.Doc(schedulingv1.PriorityClass{}, "preemptionPolicy")),
	},
	Row: rules.Typed(func(p *schedulingv1.PriorityClass) []any {
		policy := corev1.PreemptLowerPriority
		if p.PreemptionPolicy != nil {
			policy = *p.PreemptionPolicy
		}
		return []any{p.Name, int64(p.Value), p.GlobalDefault, rules.Age(p.CreationTimestamp), string(policy)}
	}),
})

// systemPriorities has the classes that may have the prefix "system-", with their values.
var systemPriorities = map[string]int32{
	"system-cluster-critical": systemCritical,
	"system-node-critical":    systemCritical + 1000,
}

const (
	highestUserPriority = int32(1000000000)
	systemCritical      = 2 * highestUserPriority
)

func validatePriorityClass(p *schedulingv1.PriorityClass) field.ErrorList {
	errs := rules.ValidateObjectMeta(&p.ObjectMeta, false, rules.DNSSubdomain)
	if strings.HasPrefix(p.Name, "system-") {
		if v, known := systemPriorities[p.Name]; !known || v != p.Value || p.GlobalDefault {
			errs = append(errs, field.Forbidden(rules.MetadataPath.Child("name"),
				"priority class names with 'system-' prefix are reserved for system use only. error: "+systemPriorityError(p)))
		}
	} else if p.Value > highestUserPriority {
		errs = append(errs, field.Forbidden(field.NewPath("value"),
			fmt.Sprintf("maximum allowed value of a user defined priority is %v", highestUserPriority)))
	}
	if p.PreemptionPolicy != nil {
		policy := field.NewPath("preemptionPolicy")
		if *p.PreemptionPolicy == "" {
			errs = append(errs, field.Required(policy, ""))
		} else {
			errs = append(errs, rules.OneOf(*p.PreemptionPolicy, policy, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
		}
	}
	return errs
}

func systemPriorityError(p *schedulingv1.PriorityClass) string {
	v, known := systemPriorities[p.Name]
	switch {
	case !known:
		return p.Name + " is not a known system priority class"
	case v != p.Value:
		return fmt.Sprintf("value of %v PriorityClass must be %v", p.Name, v)
	}
	return fmt.Sprintf("globalDefault of %v PriorityClass must be false", p.Name)
}
