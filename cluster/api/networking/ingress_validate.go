package networking

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// annotationIngressClass is the deprecated annotation with the class of an Ingress.
const annotationIngressClass = "kubernetes.io/ingress.class"

func validateIngress(i *networkingv1.Ingress) field.ErrorList {
	errs := append(rules.ValidateObjectMeta(&i.ObjectMeta, true, rules.DNSSubdomain), validateIngressSpec(&i.Spec)...)
	if class, has := i.Annotations[annotationIngressClass]; has && i.Spec.IngressClassName != nil {
		errs = append(errs, field.Invalid(field.NewPath("annotations").Child(annotationIngressClass), class, "can not be set when the class field is also set"))
	}
	return errs
}

func validateIngressUpdate(i, old *networkingv1.Ingress) field.ErrorList {
	errs := append(rules.ValidateObjectMetaUpdate(&i.ObjectMeta, &old.ObjectMeta), rules.ValidateObjectMeta(&i.ObjectMeta, true, rules.DNSSubdomain)...)
	return append(errs, validateIngressSpec(&i.Spec)...)
}

func validateIngressSpec(s *networkingv1.IngressSpec) field.ErrorList {
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(rules.SpecPath, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, validateIngressBackend(s.DefaultBackend, rules.SpecPath.Child("defaultBackend"))...)
	}
	for i := range s.Rules {
		errs = append(errs, validateIngressRule(&s.Rules[i], rules.SpecPath.Child("rules").Index(i))...)
	}
	for i := range s.TLS {
		errs = append(errs, validateIngressTLS(&s.TLS[i], rules.SpecPath.Child("tls").Index(i))...)
	}
	errs = append(errs, rules.OptionalPointer(s.IngressClassName, rules.SpecPath.Child("ingressClassName"), validation.IsDNS1123Subdomain)...)
	return errs
}

func validateIngressHost(host string, p *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return rules.Invalid(p, host, validation.IsWildcardDNS1123Subdomain(host))
	}
	return rules.Invalid(p, host, validation.IsDNS1123Subdomain(host))
}

func validateIngressTLS(t *networkingv1.IngressTLS, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, h := range t.Hosts {
		errs = append(errs, validateIngressHost(h, p.Child("hosts").Index(i))...)
	}
	errs = append(errs, rules.OptionalValue(t.SecretName, p.Child("secretName"), validation.IsDNS1123Subdomain)...)
	return errs
}

func validateIngressRule(r *networkingv1.IngressRule, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if _, err := netip.ParseAddr(r.Host); err == nil {
			errs = append(errs, field.Invalid(p.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateIngressHost(r.Host, p.Child("host"))...)
	}
	if r.HTTP == nil {
		return errs
	}
	paths := p.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(paths, ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, validateIngressPath(&r.HTTP.Paths[i], paths.Index(i))...)
	}
	return errs
}

func validateIngressPath(h *networkingv1.HTTPIngressPath, p *field.Path) field.ErrorList {
	if h.PathType == nil {
		return field.ErrorList{field.Required(p.Child("pathType"), "pathType must be specified")}
	}
	errs := rules.OneOf(*h.PathType, p.Child("pathType"),
		networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix)
	exact := *h.PathType == networkingv1.PathTypeExact || *h.PathType == networkingv1.PathTypePrefix
	free := *h.PathType == networkingv1.PathTypeImplementationSpecific
	at := p.Child("path")
	if (exact || free && h.Path != "") && !strings.HasPrefix(h.Path, "/") {
		errs = append(errs, field.Invalid(at, h.Path, "must be an absolute path"))
	}
	if exact {
		for _, part := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(h.Path, part) {
				errs = append(errs, field.Invalid(at, h.Path, fmt.Sprintf("must not contain '%s'", part)))
			}
		}
		for _, end := range []string{"/..", "/."} {
			if strings.HasSuffix(h.Path, end) {
				errs = append(errs, field.Invalid(at, h.Path, fmt.Sprintf("cannot end with '%s'", end)))
			}
		}
	}
	return append(errs, validateIngressBackend(&h.Backend, p.Child("backend"))...)
}

func validateIngressBackend(b *networkingv1.IngressBackend, p *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(p, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateLocalReference(b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name, p.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Invalid(p, "", "resource or service backend is required")}
	}
	var errs field.ErrorList
	service, port := p.Child("service"), b.Service.Port
	errs = append(errs, rules.RequiredValue(b.Service.Name, service.Child("name"), validation.IsDNS1123Label)...)
	switch {
	case port.Name != "" && port.Number != 0:
		errs = append(errs, field.Invalid(p, "", "cannot set both port name & port number"))
	case port.Name != "":
		errs = append(errs, rules.Invalid(service.Child("port", "name"), port.Name, validation.IsValidPortName(port.Name))...)
	case port.Number != 0:
		errs = append(errs, rules.Invalid(service.Child("port", "number"), port.Number, validation.IsValidPortNum(int(port.Number)))...)
	default:
		errs = append(errs, field.Required(p, "port name or number is required"))
	}
	return errs
}

func validateIngressStatus(i, old *networkingv1.Ingress) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&i.ObjectMeta, &old.ObjectMeta)
	var had []string // what is stored stays valid
	for _, a := range old.Status.LoadBalancer.Ingress {
		had = append(had, a.IP)
	}
	for n, a := range i.Status.LoadBalancer.Ingress {
		p := rules.StatusPath.Child("loadBalancer", "ingress").Index(n)
		if a.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(p.Child("ip"), a.IP, true, had)...)
		}
		if a.Hostname == "" {
			continue
		}
		errs = append(errs, rules.Invalid(p.Child("hostname"), a.Hostname, validation.IsDNS1123Subdomain(a.Hostname))...)
		if _, err := netip.ParseAddr(a.Hostname); err == nil {
			errs = append(errs, field.Invalid(p.Child("hostname"), a.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}
