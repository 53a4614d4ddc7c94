package api

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IngressClasses names the controllers that act on Ingresses.
var IngressClasses = &Kind{
	GroupVersionKind: gvk(networkingv1.GroupName, "v1", "IngressClass"),
	Plural:           "ingressclasses", Singular: "ingressclass",
	New:     func() Object { return &networkingv1.IngressClass{} },
	NewList: func() runtime.Object { return &networkingv1.IngressClassList{} },

	Default: do(func(c *networkingv1.IngressClass) {
		if p := c.Spec.Parameters; p != nil {
			setDefaultPtr(&p.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
		}
	}),
	PrepareCreate: do(func(c *networkingv1.IngressClass) { c.Generation = 1 }),
	PrepareUpdate: do2(func(c, old *networkingv1.IngressClass) { c.Generation = nextGeneration(old, c.Spec, old.Spec) }),

	Validate: as(func(c *networkingv1.IngressClass) field.ErrorList {
		return append(checkMeta(&c.ObjectMeta, false, dnsSubdomain), checkIngressClass(&c.Spec)...)
	}),
	ValidateUpdate: as2(func(c, old *networkingv1.IngressClass) field.ErrorList {
		errs := append(checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta), checkIngressClass(&c.Spec)...)
		return append(errs, immutable(c.Spec.Controller, old.Spec.Controller, specPath.Child("controller"))...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Controller", "string", 0, "The controller that acts on it."),
		col("Parameters", "string", 0, "Where more about it is said."),
		ageColumn,
	},
	Row: as(func(c *networkingv1.IngressClass) []any {
		parameters := "<none>"
		if p := c.Spec.Parameters; p != nil {
			parameters = p.Kind
			if p.APIGroup != nil {
				parameters += "." + *p.APIGroup
			}
			parameters += "/" + p.Name
		}
		return []any{c.Name, c.Spec.Controller, parameters, age(c.CreationTimestamp)}
	}),
}

func checkIngressClass(*networkingv1.IngressClassSpec) field.ErrorList { return nil }
