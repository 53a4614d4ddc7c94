package core

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Endpoints is the kind Endpoints: the addresses and ports of a service.
var Endpoints = api.Of[corev1.Endpoints, corev1.EndpointsList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Endpoints"),
	Plural:           "endpoints", Singular: "endpoints", Short: []string{"ep"}, Namespaced: true,
	OldSpelling: map[string]string{"IP": "ip"},

	Default: rules.Mutate(func(e *corev1.Endpoints) {
		for i := range e.Subsets {
			for k := range e.Subsets[i].Ports {
				rules.SetDefault(&e.Subsets[i].Ports[k].Protocol, corev1.ProtocolTCP)
			}
		}
	}),
	Validate: rules.Validate(true, rules.DNSSubdomain, validateEndpointSubsets),
	ValidateUpdate: rules.TypedUpdate(func(e, old *corev1.Endpoints) field.ErrorList {
		errs := append(rules.ValidateObjectMetaUpdate(&e.ObjectMeta, &old.ObjectMeta), rules.ValidateObjectMeta(&e.ObjectMeta, true, rules.DNSSubdomain)...)
		return append(errs, validateEndpointSubsets(e)...)
	}),

	Warn: rules.Typed(endpointsWarnings),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.Column("Endpoints", "string", 0, rules.Doc(corev1.Endpoints{}, "subsets")), rules.AgeColumn},
	Row: rules.Typed(func(e *corev1.Endpoints) []any {
		return []any{e.Name, formatSubsets(e.Subsets), rules.Age(e.CreationTimestamp)}
	}),
})

// formatSubsets returns the first three addresses and the number of others.
func formatSubsets(subsets []corev1.EndpointSubset) string {
	const maxShown = 3
	var shown []string
	count := 0
	add := func(address string, port *int32) {
		if count++; count > maxShown {
			return
		}
		if port != nil {
			address = net.JoinHostPort(address, strconv.Itoa(int(*port)))
		}
		shown = append(shown, address)
	}
	for i := range subsets {
		s := &subsets[i]
		for k := range s.Addresses {
			for p := range s.Ports {
				add(s.Addresses[k].IP, &s.Ports[p].Port)
			}
			if len(s.Ports) == 0 { // such as a headless service
				add(s.Addresses[k].IP, nil)
			}
		}
	}
	list := strings.Join(shown, ",")
	if count > maxShown {
		return fmt.Sprintf("%s + %d more...", list, count-maxShown)
	}
	return rules.OrNone(list)
}

func validateEndpointSubsets(e *corev1.Endpoints) field.ErrorList {
	var errs field.ErrorList
	for i := range e.Subsets {
		s, p := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses) == 0 && len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(p, "must specify `addresses` or `notReadyAddresses`"))
		}
		for k := range s.Addresses {
			errs = append(errs, validateEndpointAddress(&s.Addresses[k], p.Child("addresses").Index(k))...)
		}
		for k := range s.NotReadyAddresses {
			errs = append(errs, validateEndpointAddress(&s.NotReadyAddresses[k], p.Child("notReadyAddresses").Index(k))...)
		}
		for k := range s.Ports {
			errs = append(errs, validateEndpointPort(&s.Ports[k], len(s.Ports) > 1, p.Child("ports").Index(k))...)
		}
	}
	return errs
}

func validateEndpointAddress(a *corev1.EndpointAddress, p *field.Path) field.ErrorList {
	errs := validation.IsValidIPForLegacyField(p.Child("ip"), a.IP, true, nil)
	errs = append(errs, rules.OptionalValue(a.Hostname, p.Child("hostname"), validation.IsDNS1123Label)...)
	errs = append(errs, rules.OptionalPointer(a.NodeName, p.Child("nodeName"), validation.IsDNS1123Subdomain)...)
	return append(errs, ValidateNonSpecialIP(a.IP, p.Child("ip"))...)
}

// ValidateNonSpecialIP reports addresses that are local to each node, and what is no address.
func ValidateNonSpecialIP(ip string, p *field.Path) field.ErrorList {
	a, err := netip.ParseAddr(ip)
	switch {
	case err != nil && netutils.ParseIPSloppy(ip) == nil:
		return field.ErrorList{field.Invalid(p, ip, "must be a valid IP address")}
	case err != nil: // with leading zeros
		return nil
	case a.IsUnspecified():
		return field.ErrorList{field.Invalid(p, ip, fmt.Sprintf("may not be unspecified (%v)", ip))}
	case a.IsLoopback():
		return field.ErrorList{field.Invalid(p, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)")}
	case a.IsLinkLocalUnicast():
		return field.ErrorList{field.Invalid(p, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")}
	case a.IsLinkLocalMulticast():
		return field.ErrorList{field.Invalid(p, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")}
	}
	return nil
}

func validateEndpointPort(port *corev1.EndpointPort, needsName bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if port.Name == "" {
		if needsName {
			errs = append(errs, field.Required(p.Child("name"), ""))
		}
	} else {
		errs = append(errs, rules.Invalid(p.Child("name"), port.Name, validation.IsDNS1123Label(port.Name))...)
	}
	errs = append(errs, rules.Invalid(p.Child("port"), int64(port.Port), validation.IsValidPortNum(int(port.Port)))...)
	errs = append(errs, rules.RequiredOneOf(port.Protocol, p.Child("protocol"), rules.Protocols...)...)
	return append(errs, ValidateAppProtocol(port.AppProtocol, p.Child("appProtocol"))...)
}

// ValidateAppProtocol validates the application protocol of a port.
func ValidateAppProtocol(v *string, p *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return rules.Invalid(p, v, validation.IsQualifiedName(*v))
}
