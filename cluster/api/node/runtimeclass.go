// Package node has the kinds of the group node.k8s.io.
package node

import (
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	nodev1alpha1 "k8s.io/api/node/v1alpha1"
	nodev1beta1 "k8s.io/api/node/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// RuntimeClasses is the kind RuntimeClass: the handler that runs a pod's containers, and its overhead.
var RuntimeClasses = api.Of[nodev1.RuntimeClass, nodev1.RuntimeClassList](&api.Kind{
	GroupVersionKind: api.GVK(nodev1.GroupName, "v1", "RuntimeClass"),
	Plural:           "runtimeclasses", Singular: "runtimeclass",
	Versions: []api.Version{api.Retired[*nodev1beta1.RuntimeClass, *nodev1.RuntimeClass]{}.Version(), runtimeClassesV1alpha1},

	Validate: rules.Typed(validateRuntimeClass),
	ValidateUpdate: rules.TypedUpdate(func(c, old *nodev1.RuntimeClass) field.ErrorList {
		errs := append(validateRuntimeClass(c), rules.ValidatePlainMetaUpdate(c, old)...)
		return append(errs, rules.Immutable(c.Handler, old.Handler, field.NewPath("handler"))...)
	}),

	Warn: rules.Typed(func(c *nodev1.RuntimeClass) []string {
		var w podrules.Warnings
		if c.Scheduling != nil {
			p := field.NewPath("scheduling", "nodeSelector")
			w.NodeLabels(c.Scheduling.NodeSelector, func(string) *field.Path { return p })
		}
		return w
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Handler", "string", 0, ""),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(c *nodev1.RuntimeClass) []any {
		return []any{c.Name, c.Handler, rules.Age(c.CreationTimestamp)}
	}),
})

// runtimeClassesV1alpha1 has the handler, the overhead and the scheduling in a spec.
var runtimeClassesV1alpha1 = api.Retired[*nodev1alpha1.RuntimeClass, *nodev1.RuntimeClass]{
	Deprecated: "node.k8s.io/v1alpha1 RuntimeClass is deprecated in v1.14+, unavailable in v1.22+; use node.k8s.io/v1 RuntimeClass",
	ToStored: func(from *nodev1alpha1.RuntimeClass, to *nodev1.RuntimeClass) {
		to.Handler = from.Spec.RuntimeHandler
		if o := from.Spec.Overhead; o != nil {
			to.Overhead = &nodev1.Overhead{PodFixed: o.PodFixed}
		}
		if s := from.Spec.Scheduling; s != nil {
			to.Scheduling = &nodev1.Scheduling{NodeSelector: s.NodeSelector, Tolerations: s.Tolerations}
		}
	},
	FromStored: func(from *nodev1.RuntimeClass, to *nodev1alpha1.RuntimeClass) {
		to.Spec.RuntimeHandler = from.Handler
		if o := from.Overhead; o != nil {
			to.Spec.Overhead = &nodev1alpha1.Overhead{PodFixed: o.PodFixed}
		}
		if s := from.Scheduling; s != nil {
			to.Spec.Scheduling = &nodev1alpha1.Scheduling{NodeSelector: s.NodeSelector, Tolerations: s.Tolerations}
		}
	},
}.Version()

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := rules.ValidatePlainMeta(c, false, rules.DNSSubdomain)
	handler := field.NewPath("handler")
	errs = append(errs, rules.RequiredValue(c.Handler, handler, validation.IsDNS1123Label)...)
	if c.Overhead != nil {
		limits := &corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}
		errs = append(errs, podrules.ValidateResourceRequirements(limits, nil, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		p := field.NewPath("scheduling")
		errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, p.Child("nodeSelector"))...)
		errs = append(errs, podrules.ValidateTolerations(s.Tolerations, p.Child("tolerations"))...)
		errs = append(errs, validateUniqueTolerations(s.Tolerations, p.Child("tolerations"))...)
	}
	return errs
}

// validateUniqueTolerations reports tolerations that differ in tolerationSeconds alone.
func validateUniqueTolerations(list []corev1.Toleration, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.Toleration]bool{}
	for i, t := range list {
		key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
		errs = append(errs, rules.Unique(seen, key, p.Index(i), t)...)
	}
	return errs
}
