package api

import (
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RuntimeClasses names ways to run a pod's containers, and what each costs.
var RuntimeClasses = &Kind{
	GroupVersionKind: gvk(nodev1.GroupName, "v1", "RuntimeClass"),
	Plural:           "runtimeclasses", Singular: "runtimeclass",
	New:     func() Object { return &nodev1.RuntimeClass{} },
	NewList: func() runtime.Object { return &nodev1.RuntimeClassList{} },

	Validate: as(checkRuntimeClass),
	ValidateUpdate: as2(func(c, old *nodev1.RuntimeClass) field.ErrorList {
		errs := append(checkRuntimeClass(c), checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)...)
		return append(errs, immutable(c.Handler, old.Handler, field.NewPath("handler"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Handler", "string", 0, "What the node's runtime calls it."),
		ageColumn,
	},
	Row: as(func(c *nodev1.RuntimeClass) []any {
		return []any{c.Name, c.Handler, age(c.CreationTimestamp)}
	}),
}

func checkRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	errs := checkMeta(&c.ObjectMeta, false, dnsSubdomain)
	handler := field.NewPath("handler")
	if c.Handler == "" {
		errs = append(errs, field.Required(handler, ""))
	} else {
		errs = append(errs, invalid(handler, c.Handler, dnsLabel(c.Handler, false))...)
	}
	if c.Overhead != nil {
		limits := &corev1.ResourceRequirements{Limits: c.Overhead.PodFixed}
		errs = append(errs, checkContainerResources(limits, nil, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		p := field.NewPath("scheduling")
		errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, p.Child("nodeSelector"))...)
		errs = append(errs, checkTolerations(s.Tolerations, p.Child("tolerations"))...)
		errs = append(errs, checkNoTolerationTwice(s.Tolerations, p.Child("tolerations"))...)
	}
	return errs
}

// checkNoTolerationTwice: tolerations are told apart by all but how long they last.
func checkNoTolerationTwice(list []corev1.Toleration, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.Toleration]bool{}
	for i, t := range list {
		key := corev1.Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
		if seen[key] {
			errs = append(errs, field.Duplicate(p.Index(i), t))
		}
		seen[key] = true
	}
	return errs
}
