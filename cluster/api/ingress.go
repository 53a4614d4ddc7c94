package api

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Ingresses leads requests from outside to services, by host and path. The API keeps
// them; what acts on them is a controller that one installs.
var Ingresses = &Kind{
	GroupVersionKind: gvk(networkingv1.GroupName, "v1", "Ingress"),
	Plural:           "ingresses", Singular: "ingress", Short: []string{"ing"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &networkingv1.Ingress{} },
	NewList:   func() runtime.Object { return &networkingv1.IngressList{} },

	PrepareCreate: do(func(i *networkingv1.Ingress) {
		i.Status = networkingv1.IngressStatus{}
		i.Generation = 1
	}),
	PrepareUpdate: do2(func(i, old *networkingv1.Ingress) {
		i.Status = old.Status
		i.Generation = nextGeneration(old, i.Spec, old.Spec)
	}),
	PrepareStatus: do2(func(i, old *networkingv1.Ingress) {
		i.Spec = old.Spec
		i.Generation = old.Generation
	}),

	Validate:       as(checkIngress),
	ValidateUpdate: as2(checkIngressUpdate),
	ValidateStatus: as2(checkIngressStatus),

	Warn: as(warnOfIngress),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Class", "string", 0, "Which controller acts on it."),
		col("Hosts", "string", 0, "The hosts it is for."),
		col("Address", "string", 0, "Where it is reached."),
		col("Ports", "string", 0, "On which ports."),
		ageColumn,
	},
	Row: as(func(i *networkingv1.Ingress) []any {
		class, ports := "<none>", "80"
		if i.Spec.IngressClassName != nil {
			class = *i.Spec.IngressClassName
		}
		if len(i.Spec.TLS) > 0 {
			ports = "80, 443"
		}
		return []any{i.Name, class, ingressHosts(i.Spec.Rules), ingressAddresses(&i.Status), ports, age(i.CreationTimestamp)}
	}),
}

// ingressHosts are the hosts of the first rules, "*" if the rules name none.
func ingressHosts(rules []networkingv1.IngressRule) string {
	const most = 3
	var hosts []string
	more := false
	for _, r := range rules {
		switch {
		case len(hosts) == most:
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
		out += fmt.Sprintf(" + %d more...", len(rules)-most)
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
