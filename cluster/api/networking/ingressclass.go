package networking

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// IngressClasses is the kind IngressClass: a controller that implements Ingresses.
var IngressClasses = api.Of[networkingv1.IngressClass, networkingv1.IngressClassList](&api.Kind{
	GroupVersionKind: api.GVK(networkingv1.GroupName, "v1", "IngressClass"),
	Plural:           "ingressclasses", Singular: "ingressclass",
	Versions: []api.Version{IngressClassesV1beta1},

	Default: rules.Mutate(func(c *networkingv1.IngressClass) {
		if p := c.Spec.Parameters; p != nil {
			rules.SetDefaultPtr(&p.Scope, networkingv1.IngressClassParametersReferenceScopeCluster)
		}
	}),
	PrepareCreate: rules.Mutate(func(c *networkingv1.IngressClass) { c.Generation = 1 }),
	PrepareUpdate: rules.MutateUpdate(func(c, old *networkingv1.IngressClass) { c.Generation = rules.NextGeneration(old, c.Spec, old.Spec) }),

	Validate: rules.Validate(false, rules.DNSSubdomain, validateIngressClass),
	ValidateUpdate: rules.TypedUpdate(func(c, old *networkingv1.IngressClass) field.ErrorList {
		errs := append(rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta),
			rules.Immutable(c.Spec.Controller, old.Spec.Controller, rules.SpecPath.Child("controller"))...)
		errs = append(errs, rules.ValidateObjectMeta(&c.ObjectMeta, false, rules.DNSSubdomain)...)
		return append(errs, validateIngressClass(c)...)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Controller", "string", 0, "Controller that is responsible for handling this class"),
		rules.Column("Parameters", "string", 0, "A reference to a resource with additional parameters"),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(c *networkingv1.IngressClass) []any {
		parameters := "<none>"
		if p := c.Spec.Parameters; p != nil {
			parameters = p.Kind
			if p.APIGroup != nil {
				parameters += "." + *p.APIGroup
			}
			parameters += "/" + p.Name
		}
		return []any{c.Name, c.Spec.Controller, parameters, rules.Age(c.CreationTimestamp)}
	}),
})

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	s := &c.Spec
	const maxController = 250
	var errs field.ErrorList
	controller := rules.SpecPath.Child("controller")
	if len(s.Controller) > maxController {
		errs = append(errs, field.TooLong(controller, s.Controller, maxController))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(controller, s.Controller)...)
	r := s.Parameters
	if r == nil {
		return errs
	}
	p := rules.SpecPath.Child("parameters")
	errs = append(errs, validateLocalReference(r.APIGroup, r.Kind, r.Name, p)...)
	const cluster, namespace = networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace
	at := p.Child("namespace")
	switch {
	case r.Scope == nil:
		errs = append(errs, field.Required(p.Child("scope"), ""))
	case *r.Scope == namespace && r.Namespace == nil:
		errs = append(errs, field.Required(at, "`parameters.scope` is set to 'Namespace'"))
	case *r.Scope == namespace:
		errs = append(errs, rules.Invalid(at, *r.Namespace, rules.DNSLabel(*r.Namespace, false))...)
	case *r.Scope != cluster:
		errs = append(errs, rules.OneOf(*r.Scope, p.Child("scope"), cluster, namespace)...)
	case r.Namespace != nil:
		errs = append(errs, field.Forbidden(at, "`parameters.scope` is set to 'Cluster'"))
	}
	return errs
}

// validateLocalReference validates a reference to an object of any kind in the same namespace.
func validateLocalReference(group *string, kind, name string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, rules.OptionalPointer(group, p.Child("apiGroup"), validation.IsDNS1123Subdomain)...)
	if kind == "" {
		errs = append(errs, field.Required(p.Child("kind"), ""))
	} else {
		errs = append(errs, rules.Invalid(p.Child("kind"), kind, rules.PathSegment(kind, false))...)
	}
	if name == "" {
		return append(errs, field.Required(p.Child("name"), ""))
	}
	return append(errs, rules.Invalid(p.Child("name"), name, rules.PathSegment(name, false))...)
}
