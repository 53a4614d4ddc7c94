// Package discovery has the kinds of the group discovery.k8s.io.
package discovery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

const (
	maxSliceEndpoints = 1000
	maxSliceAddresses = 100
	maxSlicePorts     = 20000
	maxHints          = 8 // of zones, and of nodes
)

// EndpointSlices is the kind EndpointSlice: some of the endpoints of a service.
var EndpointSlices = api.Of[discoveryv1.EndpointSlice, discoveryv1.EndpointSliceList](&api.Kind{
	GroupVersionKind: api.GVK(discoveryv1.GroupName, "v1", "EndpointSlice"),
	Plural:           "endpointslices", Singular: "endpointslice", Namespaced: true,
	Versions: []api.Version{endpointSlicesV1beta1},

	Default: rules.Mutate(func(s *discoveryv1.EndpointSlice) {
		for i := range s.Ports {
			rules.SetDefaultPtr(&s.Ports[i].Name, "")
			rules.SetDefaultPtr(&s.Ports[i].Protocol, corev1.ProtocolTCP)
		}
	}),
	PrepareCreate: rules.Mutate(func(s *discoveryv1.EndpointSlice) { s.Generation = 1 }),
	PrepareUpdate: rules.MutateUpdate(func(s, old *discoveryv1.EndpointSlice) {
		s.Generation = old.Generation
		if !rules.Equal(s.Labels, old.Labels) || s.AddressType != old.AddressType || !rules.Equal(s.Endpoints, old.Endpoints) || !rules.Equal(s.Ports, old.Ports) {
			s.Generation++
		}
	}),
	Validate: rules.Typed(validateEndpointSlice),
	ValidateUpdate: rules.TypedUpdate(func(s, old *discoveryv1.EndpointSlice) field.ErrorList {
		errs := validateEndpointSlice(s)
		return append(errs, rules.Immutable(s.AddressType, old.AddressType, field.NewPath("addressType"))...)
	}),

	Warn: rules.Typed(sliceWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("AddressType", "string", 0, rules.Doc(discoveryv1.EndpointSlice{}, "addressType")),
		rules.Column("Ports", "string", 0, rules.Doc(discoveryv1.EndpointSlice{}, "ports")),
		rules.Column("Endpoints", "string", 0, rules.Doc(discoveryv1.EndpointSlice{}, "endpoints")),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(s *discoveryv1.EndpointSlice) []any {
		return []any{s.Name, string(s.AddressType), formatSlicePorts(s.Ports), formatSliceEndpoints(s.Endpoints), rules.Age(s.CreationTimestamp)}
	}),
})

func formatSlicePorts(ports []discoveryv1.EndpointPort) string {
	list := make([]string, len(ports))
	for i := range ports {
		list[i] = "*"
		if ports[i].Port != nil {
			list[i] = strconv.Itoa(int(*ports[i].Port))
		} else if ports[i].Name != nil && *ports[i].Name != "" {
			list[i] = *ports[i].Name
		}
	}
	return formatFirstThree(list, "<unset>")
}

func formatSliceEndpoints(endpoints []discoveryv1.Endpoint) string {
	var list []string
	for i := range endpoints {
		list = append(list, endpoints[i].Addresses...)
	}
	return formatFirstThree(list, "<unset>")
}

func formatFirstThree(list []string, none string) string {
	switch {
	case len(list) == 0:
		return none
	case len(list) > 3:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:3], ","), len(list)-3)
	}
	return strings.Join(list, ",")
}

func sliceWarnings(s *discoveryv1.EndpointSlice) []string {
	var w podrules.Warnings
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		w.Add(rules.SpecPath.Child("addressType"), "FQDN endpoints are deprecated")
	}
	switch s.Labels[discoveryv1.LabelManagedBy] {
	case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io":
		return w // they write no other notation
	}
	for i := range s.Endpoints {
		w.Addresses(s.Endpoints[i].Addresses, field.NewPath("endpoints").Index(i).Child("addresses"))
	}
	return w
}

func validateEndpointSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := rules.ValidateObjectMeta(&s.ObjectMeta, true, rules.DNSSubdomain)
	errs = append(errs, rules.RequiredOneOf(s.AddressType, field.NewPath("addressType"),
		discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)...)
	errs = append(errs, validateSlicePorts(s.Ports, field.NewPath("ports"))...)
	return append(errs, validateSliceEndpoints(s, field.NewPath("endpoints"))...)
}

func validateSliceEndpoints(s *discoveryv1.EndpointSlice, p *field.Path) field.ErrorList {
	if len(s.Endpoints) > maxSliceEndpoints {
		return field.ErrorList{field.TooMany(p, len(s.Endpoints), maxSliceEndpoints)}
	}
	var errs field.ErrorList
	for i := range s.Endpoints {
		errs = append(errs, validateSliceEndpoint(&s.Endpoints[i], s.AddressType, p.Index(i))...)
	}
	return errs
}

func validateSliceEndpoint(e *discoveryv1.Endpoint, t discoveryv1.AddressType, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := p.Child("addresses")
	switch {
	case len(e.Addresses) == 0:
		errs = append(errs, field.Required(at, "must contain at least 1 address"))
	case len(e.Addresses) > maxSliceAddresses:
		errs = append(errs, field.TooMany(at, len(e.Addresses), maxSliceAddresses))
	}
	for i, a := range e.Addresses {
		errs = append(errs, validateSliceAddress(a, t, i, at)...)
	}
	errs = append(errs, rules.OptionalPointer(e.NodeName, p.Child("nodeName"), validation.IsDNS1123Subdomain)...)
	errs = append(errs, metav1validation.ValidateLabels(e.DeprecatedTopology, p.Child("deprecatedTopology"))...)
	errs = append(errs, rules.OptionalPointer(e.Hostname, p.Child("hostname"), validation.IsDNS1123Label)...)
	if e.Hints != nil {
		errs = append(errs, validateEndpointHints(e.Hints, p.Child("hints"))...)
	}
	return errs
}

func validateEndpointHints(h *discoveryv1.EndpointHints, p *field.Path) field.ErrorList {
	zones := make([]string, len(h.ForZones))
	for i := range h.ForZones {
		zones[i] = h.ForZones[i].Name
	}
	nodes := make([]string, len(h.ForNodes))
	for i := range h.ForNodes {
		nodes[i] = h.ForNodes[i].Name
	}
	errs := validateHintNames(zones, validation.IsValidLabelValue, p.Child("forZones"))
	return append(errs, validateHintNames(nodes, func(n string) []string { return rules.DNSSubdomain(n, false) }, p.Child("forNodes"))...)
}

func validateHintNames(names []string, check func(string) []string, p *field.Path) field.ErrorList {
	if len(names) > maxHints {
		return field.ErrorList{field.TooMany(p, len(names), maxHints)}
	}
	var errs field.ErrorList
	for i, n := range names {
		at := p.Index(i).Child("name")
		if slices.Contains(names[:i], n) {
			errs = append(errs, field.Duplicate(at, n))
		}
		errs = append(errs, rules.Invalid(at, n, check(n))...)
	}
	return errs
}

// validateSliceAddress validates the address of an index in the addresses at p.
func validateSliceAddress(a string, t discoveryv1.AddressType, i int, p *field.Path) field.ErrorList {
	switch t {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
		errs := validation.IsValidIPForLegacyField(p.Index(i), a, true, nil)
		if t == discoveryv1.AddressTypeIPv6 {
			errs = validation.IsValidIP(p.Index(i), a)
		}
		if len(errs) > 0 {
			return errs
		}
		if strings.Contains(a, ":") != (t == discoveryv1.AddressTypeIPv6) {
			errs = append(errs, field.Invalid(p, a, fmt.Sprintf("must be an %s address", t)))
		}
		return append(errs, core.ValidateNonSpecialIP(a, p.Index(i))...)
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(p.Index(i), a)
	}
	return nil
}

func validateSlicePorts(ports []discoveryv1.EndpointPort, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(ports) > maxSlicePorts {
		return append(errs, field.TooMany(p, len(ports), maxSlicePorts))
	}
	seen := make(map[string]bool, len(ports))
	for i := range ports {
		port, at := &ports[i], p.Index(i)
		name := ""
		if port.Name != nil {
			name = *port.Name
		}
		errs = append(errs, rules.OptionalValue(name, at.Child("name"), validation.IsDNS1123Label)...)
		errs = append(errs, rules.Unique(seen, name, at.Child("name"), name)...)
		if port.Protocol == nil {
			errs = append(errs, field.Required(at.Child("protocol"), ""))
		} else {
			errs = append(errs, rules.RequiredOneOf(*port.Protocol, at.Child("protocol"), rules.Protocols...)...)
		}
		errs = append(errs, core.ValidateAppProtocol(port.AppProtocol, at.Child("appProtocol"))...)
	}
	return errs
}
