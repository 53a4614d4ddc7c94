package api

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PriorityClasses names numbers that order pods by importance.
var PriorityClasses = &Kind{
	GroupVersionKind: gvk(schedulingv1.GroupName, "v1", "PriorityClass"),
	Plural:           "priorityclasses", Singular: "priorityclass", Short: []string{"pc"},
	New:     func() Object { return &schedulingv1.PriorityClass{} },
	NewList: func() runtime.Object { return &schedulingv1.PriorityClassList{} },

	Default: do(func(p *schedulingv1.PriorityClass) {
		setDefaultPtr(&p.PreemptionPolicy, corev1.PreemptLowerPriority)
	}),
	PrepareCreate: do(func(p *schedulingv1.PriorityClass) { p.Generation = 1 }),
	PrepareUpdate: do2(func(p, old *schedulingv1.PriorityClass) { p.Generation = old.Generation }),
	Validate:      as(checkPriorityClass),
	ValidateUpdate: as2(func(p, old *schedulingv1.PriorityClass) field.ErrorList {
		errs := checkMetaUpdate(&p.ObjectMeta, &old.ObjectMeta)
		if p.Value != old.Value {
			errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
		}
		return append(errs, immutable(p.PreemptionPolicy, old.PreemptionPolicy, field.NewPath("preemptionPolicy"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Value", "integer", 0, "The priority."),
		col("Global-Default", "boolean", 0, "Whether pods without a class have this one."),
		ageColumn,
		col("PreemptionPolicy", "string", 0, "Whether its pods push out others."),
	},
	Row: as(func(p *schedulingv1.PriorityClass) []any {
		policy := corev1.PreemptLowerPriority
		if p.PreemptionPolicy != nil {
			policy = *p.PreemptionPolicy
		}
		return []any{p.Name, int64(p.Value), p.GlobalDefault, age(p.CreationTimestamp), string(policy)}
	}),
}

// Classes with the system's prefix are the system's.
var systemPriorities = map[string]int32{
	"system-cluster-critical": systemCritical,
	"system-node-critical":    systemCritical + 1000,
}

const (
	highestUserPriority = int32(1000000000)
	systemCritical      = 2 * highestUserPriority
)

func checkPriorityClass(p *schedulingv1.PriorityClass) field.ErrorList {
	errs := checkMeta(&p.ObjectMeta, false, dnsSubdomain)
	if strings.HasPrefix(p.Name, "system-") {
		if v, known := systemPriorities[p.Name]; !known || v != p.Value || p.GlobalDefault {
			errs = append(errs, field.Forbidden(metadataPath.Child("name"),
				"priority class names with 'system-' prefix are reserved for system use only. error: "+systemPriorityProblem(p)))
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
			errs = append(errs, oneOf(*p.PreemptionPolicy, policy, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
		}
	}
	return errs
}

func systemPriorityProblem(p *schedulingv1.PriorityClass) string {
	v, known := systemPriorities[p.Name]
	switch {
	case !known:
		return p.Name + " is not a known system priority class"
	case v != p.Value:
		return fmt.Sprintf("value of %v PriorityClass must be %v", p.Name, v)
	}
	return fmt.Sprintf("globalDefault of %v PriorityClass must be false", p.Name)
}
