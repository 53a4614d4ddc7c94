package api

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
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
		errs := append(checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta), immutable(c.Spec.Controller, old.Spec.Controller, specPath.Child("controller"))...)
		return append(errs, checkIngressClass(&c.Spec)...)
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

func checkIngressClass(s *networkingv1.IngressClassSpec) field.ErrorList {
	const longest = 250
	var errs field.ErrorList
	controller := specPath.Child("controller")
	if len(s.Controller) > longest {
		errs = append(errs, field.TooLong(controller, s.Controller, longest))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(controller, s.Controller)...)
	r := s.Parameters
	if r == nil {
		return errs
	}
	p := specPath.Child("parameters")
	errs = append(errs, checkLocalReference(r.APIGroup, r.Kind, r.Name, p)...)
	const cluster, namespace = networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace
	at := p.Child("namespace")
	switch {
	case r.Scope == nil:
		errs = append(errs, field.Required(p.Child("scope"), ""))
	case *r.Scope == namespace && r.Namespace == nil:
		errs = append(errs, field.Required(at, "`parameters.scope` is set to 'Namespace'"))
	case *r.Scope == namespace:
		errs = append(errs, invalid(at, *r.Namespace, dnsLabel(*r.Namespace, false))...)
	case *r.Scope != cluster:
		errs = append(errs, oneOf(*r.Scope, p.Child("scope"), cluster, namespace)...)
	case r.Namespace != nil:
		errs = append(errs, field.Forbidden(at, "`parameters.scope` is set to 'Cluster'"))
	}
	return errs
}

// checkLocalReference is about an object of any kind in the same namespace.
func checkLocalReference(group *string, kind, name string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		errs = append(errs, invalid(p.Child("apiGroup"), *group, dnsSubdomain(*group, false))...)
	}
	if kind == "" {
		errs = append(errs, field.Required(p.Child("kind"), "kind is required"))
	} else {
		errs = append(errs, invalid(p.Child("kind"), kind, pathSegment(kind, false))...)
	}
	if name == "" {
		return append(errs, field.Required(p.Child("name"), "name is required"))
	}
	return append(errs, invalid(p.Child("name"), name, pathSegment(name, false))...)
}
