package networking

import (
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// NetworkPolicies is the kind NetworkPolicy: which traffic pods accept and send. Each node enforces it for its pods
// (package netpol).
var NetworkPolicies = api.Of[networkingv1.NetworkPolicy, networkingv1.NetworkPolicyList](&api.Kind{
	GroupVersionKind: api.GVK(networkingv1.GroupName, "v1", "NetworkPolicy"),
	Plural:           "networkpolicies", Singular: "networkpolicy", Short: []string{"netpol"},
	Namespaced: true,
	Versions:   []api.Version{api.Retired[*extensionsv1beta1.NetworkPolicy, *networkingv1.NetworkPolicy]{}.Version()},

	Default:       rules.Mutate(defaultNetworkPolicy),
	PrepareCreate: rules.Mutate(func(n *networkingv1.NetworkPolicy) { n.Generation = 1 }),
	PrepareUpdate: rules.MutateUpdate(func(n, old *networkingv1.NetworkPolicy) { n.Generation = rules.NextGeneration(old, n.Spec, old.Spec) }),

	Validate: rules.Validate(true, rules.DNSSubdomain, func(n *networkingv1.NetworkPolicy) field.ErrorList {
		return validateNetworkPolicySpec(&n.Spec, nil)
	}),
	ValidateUpdate: rules.TypedUpdate(func(n, old *networkingv1.NetworkPolicy) field.ErrorList {
		// Ranges that the policy had before today's rules may stay.
		var had []string
		eachIPBlock(&old.Spec, func(b *networkingv1.IPBlock, _ *field.Path) { had = append(append(had, b.CIDR), b.Except...) })
		return append(rules.ValidateObjectMetaUpdate(&n.ObjectMeta, &old.ObjectMeta), validateNetworkPolicySpec(&n.Spec, had)...)
	}),
	Warn: rules.Typed(func(n *networkingv1.NetworkPolicy) (warnings []string) {
		warn := func(p *field.Path, text string) {
			if _, _, err := netutils.ParseCIDRSloppy(text); err == nil {
				warnings = append(warnings, validation.GetWarningsForCIDR(p, text)...)
			}
		}
		eachIPBlock(&n.Spec, func(b *networkingv1.IPBlock, p *field.Path) {
			warn(p.Child("cidr"), b.CIDR)
			for i, text := range b.Except {
				warn(p.Child("except").Index(i), text)
			}
		})
		return warnings
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Pod-Selector", "string", 0, rules.Doc(networkingv1.NetworkPolicySpec{}, "podSelector")),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(n *networkingv1.NetworkPolicy) []any {
		return []any{n.Name, metav1.FormatLabelSelector(&n.Spec.PodSelector), rules.Age(n.CreationTimestamp)}
	}),
})

func defaultNetworkPolicy(n *networkingv1.NetworkPolicy) {
	eachRule(&n.Spec, func(ports []networkingv1.NetworkPolicyPort, _ []networkingv1.NetworkPolicyPeer, _, _ *field.Path) {
		for i := range ports {
			rules.SetDefaultPtr(&ports[i].Protocol, corev1.ProtocolTCP)
		}
	})
	if len(n.Spec.PolicyTypes) > 0 {
		return
	}
	n.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(n.Spec.Egress) > 0 {
		n.Spec.PolicyTypes = append(n.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

// eachRule calls f with the ports and peers of each rule, and the paths of both.
func eachRule(s *networkingv1.NetworkPolicySpec, f func(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, portsPath, peersPath *field.Path)) {
	for i := range s.Ingress {
		p := rules.SpecPath.Child("ingress").Index(i)
		f(s.Ingress[i].Ports, s.Ingress[i].From, p.Child("ports"), p.Child("from"))
	}
	for i := range s.Egress {
		p := rules.SpecPath.Child("egress").Index(i)
		f(s.Egress[i].Ports, s.Egress[i].To, p.Child("ports"), p.Child("to"))
	}
}

func eachIPBlock(s *networkingv1.NetworkPolicySpec, f func(*networkingv1.IPBlock, *field.Path)) {
	eachRule(s, func(_ []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, _, p *field.Path) {
		for i := range peers {
			if b := peers[i].IPBlock; b != nil {
				f(b, p.Index(i).Child("ipBlock"))
			}
		}
	})
}

// validateNetworkPolicySpec returns the errors of a spec; had are the ranges that the stored policy has.
func validateNetworkPolicySpec(s *networkingv1.NetworkPolicySpec, had []string) field.ErrorList {
	errs := podrules.ValidateLabelSelector(&s.PodSelector, rules.SpecPath.Child("podSelector"))
	eachRule(s, func(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, portsPath, peersPath *field.Path) {
		for i := range ports {
			errs = append(errs, validatePolicyPort(&ports[i], portsPath.Index(i))...)
		}
		for i := range peers {
			errs = append(errs, validatePeer(&peers[i], peersPath.Index(i), had)...)
		}
	})
	types := rules.SpecPath.Child("policyTypes")
	if len(s.PolicyTypes) > 2 {
		return append(errs, field.Invalid(types, &s.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range s.PolicyTypes {
		errs = append(errs, rules.OneOf(t, types.Index(i), networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)...)
	}
	return errs
}

func validatePolicyPort(n *networkingv1.NetworkPolicyPort, p *field.Path) field.ErrorList {
	errs := rules.OptionalOneOf(n.Protocol, p.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	port, end := p.Child("port"), p.Child("endPort")
	switch {
	case n.Port == nil:
		if n.EndPort != nil {
			errs = append(errs, field.Invalid(end, *n.EndPort, "may not be specified when `port` is not specified"))
		}
	case n.Port.Type == intstr.Int:
		errs = append(errs, rules.Invalid(port, n.Port.IntVal, validation.IsValidPortNum(int(n.Port.IntVal)))...)
		if n.EndPort == nil {
			break
		}
		if *n.EndPort < n.Port.IntVal {
			errs = append(errs, field.Invalid(end, n.Port.IntVal, "must be greater than or equal to `port`"))
		}
		errs = append(errs, rules.Invalid(end, *n.EndPort, validation.IsValidPortNum(int(*n.EndPort)))...)
	default:
		if n.EndPort != nil {
			errs = append(errs, field.Invalid(end, *n.EndPort, "may not be specified when `port` is non-numeric"))
		}
		errs = append(errs, rules.Invalid(port, n.Port.StrVal, validation.IsValidPortName(n.Port.StrVal))...)
	}
	return errs
}

func validatePeer(n *networkingv1.NetworkPolicyPeer, p *field.Path, had []string) field.ErrorList {
	errs := podrules.ValidateLabelSelector(n.PodSelector, p.Child("podSelector"))
	errs = append(errs, podrules.ValidateLabelSelector(n.NamespaceSelector, p.Child("namespaceSelector"))...)
	selects := n.PodSelector != nil || n.NamespaceSelector != nil
	switch {
	case n.IPBlock != nil:
		errs = append(errs, validateIPBlock(n.IPBlock, p.Child("ipBlock"), had)...)
		if selects {
			errs = append(errs, field.Forbidden(p, "may not specify both ipBlock and another peer"))
		}
	case !selects:
		errs = append(errs, field.Required(p, "must specify a peer"))
	}
	return errs
}

func validateIPBlock(b *networkingv1.IPBlock, p *field.Path, had []string) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(p.Child("cidr"), "")}
	}
	errs := validation.IsValidCIDRForLegacyField(p.Child("cidr"), b.CIDR, true, had)
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return errs
	}
	for i, text := range b.Except {
		at := p.Child("except").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(at, text, true, had)...)
		_, part, err := netutils.ParseCIDRSloppy(text)
		if err != nil {
			continue
		}
		wholeBits, _ := whole.Mask.Size()
		partBits, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || wholeBits >= partBits {
			errs = append(errs, field.Invalid(at, text, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}
