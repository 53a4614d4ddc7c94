package networking

import (
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// The retired versions of Ingress. They have serviceName and servicePort instead of a service with a numbered or
// named port, and backend instead of defaultBackend.
var (
	IngressesV1beta1 = api.Retired[*networkingv1beta1.Ingress, *networkingv1.Ingress]{
		Default: func(i *networkingv1beta1.Ingress) {
			for r := range i.Spec.Rules {
				if http := i.Spec.Rules[r].HTTP; http != nil {
					for p := range http.Paths {
						rules.SetDefaultPtr(&http.Paths[p].PathType, networkingv1beta1.PathTypeImplementationSpecific)
					}
				}
			}
		},
		ToStored:   ingressFromV1beta1,
		FromStored: ingressToV1beta1,
	}.Version()

	// IngressesExtensions has the shape of networking.k8s.io/v1beta1.
	IngressesExtensions = api.Retired[*extensionsv1beta1.Ingress, *networkingv1.Ingress]{
		Default: func(i *extensionsv1beta1.Ingress) {
			for r := range i.Spec.Rules {
				if http := i.Spec.Rules[r].HTTP; http != nil {
					for p := range http.Paths {
						rules.SetDefaultPtr(&http.Paths[p].PathType, extensionsv1beta1.PathTypeImplementationSpecific)
					}
				}
			}
		},
		ToStored: func(from *extensionsv1beta1.Ingress, to *networkingv1.Ingress) {
			middle := &networkingv1beta1.Ingress{}
			api.CopyShape(from, middle)
			ingressFromV1beta1(middle, to)
		},
		FromStored: func(from *networkingv1.Ingress, to *extensionsv1beta1.Ingress) {
			middle := &networkingv1beta1.Ingress{}
			api.CopyShape(from, middle)
			ingressToV1beta1(from, middle)
			api.CopyShape(middle, to)
		},
	}.Version()

	IngressClassesV1beta1 = api.Retired[*networkingv1beta1.IngressClass, *networkingv1.IngressClass]{}.Version()
)

func ingressFromV1beta1(from *networkingv1beta1.Ingress, to *networkingv1.Ingress) {
	if b := from.Spec.Backend; b != nil {
		to.Spec.DefaultBackend = &networkingv1.IngressBackend{Resource: b.Resource, Service: serviceBackend(b)}
	}
	for r := range min(len(from.Spec.Rules), len(to.Spec.Rules)) {
		was, is := from.Spec.Rules[r].HTTP, to.Spec.Rules[r].HTTP
		if was == nil || is == nil {
			continue
		}
		for p := range min(len(was.Paths), len(is.Paths)) {
			is.Paths[p].Backend.Service = serviceBackend(&was.Paths[p].Backend)
		}
	}
}

// serviceBackend returns the service of a backend, nil if it has none.
func serviceBackend(b *networkingv1beta1.IngressBackend) *networkingv1.IngressServiceBackend {
	if b.ServiceName == "" && b.ServicePort == (intstr.IntOrString{}) {
		return nil
	}
	s := &networkingv1.IngressServiceBackend{Name: b.ServiceName}
	if b.ServicePort.Type == intstr.String {
		s.Port.Name = b.ServicePort.StrVal
	} else {
		s.Port.Number = b.ServicePort.IntVal
	}
	return s
}

func ingressToV1beta1(from *networkingv1.Ingress, to *networkingv1beta1.Ingress) {
	if b := from.Spec.DefaultBackend; b != nil {
		to.Spec.Backend = &networkingv1beta1.IngressBackend{Resource: b.Resource.DeepCopy()}
		setServiceBackend(to.Spec.Backend, b.Service)
	}
	for r := range min(len(from.Spec.Rules), len(to.Spec.Rules)) {
		is, was := from.Spec.Rules[r].HTTP, to.Spec.Rules[r].HTTP
		if is == nil || was == nil {
			continue
		}
		for p := range min(len(is.Paths), len(was.Paths)) {
			setServiceBackend(&was.Paths[p].Backend, is.Paths[p].Backend.Service)
		}
	}
}

func setServiceBackend(b *networkingv1beta1.IngressBackend, s *networkingv1.IngressServiceBackend) {
	if s == nil {
		return
	}
	b.ServiceName = s.Name
	b.ServicePort = intstr.FromInt32(s.Port.Number)
	if s.Port.Name != "" {
		b.ServicePort = intstr.FromString(s.Port.Name)
	}
}
