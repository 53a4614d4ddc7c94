// Package networking has the kinds of the group networking.k8s.io, one file each, and their retired versions.
package networking

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Ingresses is the kind Ingress: routes from hosts and paths to services. The API stores them; an ingress
// controller, installed separately, implements them.
var Ingresses = rules.SpecAndStatus(api.Of[networkingv1.Ingress, networkingv1.IngressList](&api.Kind{
	GroupVersionKind: api.GVK(networkingv1.GroupName, "v1", "Ingress"),
	Plural:           "ingresses", Singular: "ingress", Short: []string{"ing"}, Namespaced: true,
	HasStatus: true,
	Versions:  []api.Version{IngressesV1beta1, IngressesExtensions},

	Validate:       rules.Typed(validateIngress),
	ValidateUpdate: rules.TypedUpdate(validateIngressUpdate),
	ValidateStatus: rules.TypedUpdate(validateIngressStatus),

	Warn: rules.Typed(ingressWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Class", "string", 0, "The name of the IngressClass resource that should be used for additional configuration"),
		rules.Column("Hosts", "string", 0, "Hosts that incoming requests are matched against before the ingress rule"),
		rules.Column("Address", "string", 0, "Address is a list containing ingress points for the load-balancer"),
		rules.Column("Ports", "string", 0, "Ports of TLS configurations that open"),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(i *networkingv1.Ingress) []any {
		class, ports := "<none>", "80"
		if i.Spec.IngressClassName != nil {
			class = *i.Spec.IngressClassName
		}
		if len(i.Spec.TLS) > 0 {
			ports = "80, 443"
		}
		return []any{i.Name, class, ingressHosts(i.Spec.Rules), ingressAddresses(&i.Status), ports, rules.Age(i.CreationTimestamp)}
	}),
}), func(o *networkingv1.Ingress) (*networkingv1.IngressSpec, *networkingv1.IngressStatus) {
	return &o.Spec, &o.Status
})

// ingressHosts returns the hosts of the first rules, "*" if no rule has a host.
func ingressHosts(rules []networkingv1.IngressRule) string {
	const maxShown = 3
	var hosts []string
	more := false
	for _, r := range rules {
		switch {
		case len(hosts) == maxShown:
			more = true
		case r.Host != "":
			hosts = append(hosts, r.Host)
		}
	}
	if len(hosts) == 0 {
		return "*"
	}
	out := strings.Join(hosts, ",")
	if more {
		out += fmt.Sprintf(" + %d more...", len(rules)-maxShown)
	}
	return out
}

func ingressAddresses(s *networkingv1.IngressStatus) string {
	var out []string
	for _, a := range s.LoadBalancer.Ingress {
		if a.IP != "" {
			out = append(out, a.IP)
		} else if a.Hostname != "" {
			out = append(out, a.Hostname)
		}
	}
	return strings.Join(out, ",")
}

func ingressWarnings(i *networkingv1.Ingress) []string {
	if _, has := i.Annotations[annotationIngressClass]; !has {
		return nil
	}
	return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", annotationIngressClass)}
}
