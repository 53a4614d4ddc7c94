package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func validateNewService(svc *corev1.Service) field.ErrorList {
	if errs := validateServiceAddresses(svc, nil); len(errs) > 0 {
		return errs // alone: upstream's storage looks at them first
	}
	return append(rules.ValidateObjectMeta(&svc.ObjectMeta, true, rules.DNSLabel), validateService(svc, nil)...)
}

// validateService validates all but the metadata and the addresses, in upstream's order. What old has is valid.
func validateService(svc, old *corev1.Service) field.ErrorList {
	s := &svc.Spec
	var errs field.ErrorList
	hints, hasHints := svc.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	if mode, has := svc.Annotations[corev1.AnnotationTopologyMode]; has && hasHints && mode != hints {
		errs = append(errs, field.Invalid(rules.MetadataPath.Child("annotations").Key(corev1.AnnotationTopologyMode), mode,
			fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints)))
	}
	if len(s.Ports) == 0 && !isHeadless(svc) && s.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(rules.SpecPath.Child("ports"), ""))
	}
	errs = append(errs, validateServiceType(svc)...)
	names := map[string]bool{}
	for i := range s.Ports {
		errs = append(errs, validateServicePort(&s.Ports[i], len(s.Ports) > 1, names, rules.SpecPath.Child("ports").Index(i))...)
	}
	if len(s.Selector) > 0 {
		errs = append(errs, metav1validation.ValidateLabels(s.Selector, rules.SpecPath.Child("selector"))...)
	}
	errs = append(errs, validateSessionAffinity(s)...)
	for i, ip := range s.ExternalIPs {
		p := rules.SpecPath.Child("externalIPs").Index(i)
		if bad := validation.IsValidIPForLegacyField(p, ip, true, oldSpec(old).ExternalIPs); len(bad) > 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, ValidateNonSpecialIP(ip, p)...)
		}
	}
	errs = append(errs, rules.RequiredOneOf(s.Type, rules.SpecPath.Child("type"),
		corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)...)
	errs = append(errs, validateUniquePorts(s)...)
	errs = append(errs, validateLoadBalancer(svc, old)...)
	errs = append(errs, validateTrafficPolicies(svc)...)
	return append(errs, rules.OptionalOneOf(s.TrafficDistribution, rules.SpecPath.Child("trafficDistribution"), corev1.ServiceTrafficDistributionPreferClose,
		corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)...)
}

// oldSpec returns the spec of the service before an update, an empty one for a new service.
func oldSpec(old *corev1.Service) *corev1.ServiceSpec {
	if old == nil {
		return &corev1.ServiceSpec{}
	}
	return &old.Spec
}

func validateServiceType(svc *corev1.Service) field.ErrorList {
	s := &svc.Spec
	var errs field.ErrorList
	switch s.Type {
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if isHeadless(svc) {
			errs = append(errs, field.Invalid(rules.SpecPath.Child("clusterIPs").Index(0), corev1.ClusterIPNone,
				fmt.Sprintf("may not be set to 'None' for %s services", s.Type)))
		}
	case corev1.ServiceTypeExternalName:
		const unset = "may not be set for ExternalName services"
		if len(s.ClusterIPs) > 0 || s.ClusterIP != "" {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("clusterIPs"), unset))
		}
		if len(s.IPFamilies) > 0 {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("ipFamilies"), unset))
		}
		if s.IPFamilyPolicy != nil {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("ipFamilyPolicy"), unset))
		}
		errs = append(errs, rules.RequiredValue(strings.TrimSuffix(s.ExternalName, "."), rules.SpecPath.Child("externalName"), validation.IsDNS1123Subdomain)...)
	}
	return errs
}

func validateServicePort(port *corev1.ServicePort, named bool, names map[string]bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if port.Name != "" {
		errs = append(errs, rules.Invalid(p.Child("name"), port.Name, validation.IsDNS1123Label(port.Name))...)
		errs = append(errs, rules.Unique(names, port.Name, p.Child("name"), port.Name)...)
	} else if named {
		errs = append(errs, field.Required(p.Child("name"), ""))
	}
	errs = append(errs, rules.Invalid(p.Child("port"), int64(port.Port), validation.IsValidPortNum(int(port.Port)))...)
	errs = append(errs, rules.RequiredOneOf(port.Protocol, p.Child("protocol"), rules.Protocols...)...)
	errs = append(errs, podrules.ValidatePortNumOrName(port.TargetPort, p.Child("targetPort"))...)
	return append(errs, ValidateAppProtocol(port.AppProtocol, p.Child("appProtocol"))...)
}

// validateUniquePorts reports ports and node ports that are there twice for a protocol.
func validateUniquePorts(s *corev1.ServiceSpec) field.ErrorList {
	type portKey struct {
		protocol corev1.Protocol
		port     int32
	}
	var unused, nodeErrs, errs field.ErrorList
	ports, nodePorts := map[portKey]bool{}, map[portKey]bool{}
	for i := range s.Ports {
		port, p := &s.Ports[i], rules.SpecPath.Child("ports").Index(i)
		errs = append(errs, rules.Unique(ports, portKey{port.Protocol, port.Port}, p, corev1.ServicePort{Protocol: port.Protocol, Port: port.Port})...)
		if port.NodePort == 0 {
			continue
		}
		if s.Type == corev1.ServiceTypeClusterIP {
			unused = append(unused, field.Forbidden(p.Child("nodePort"), "may not be used when `type` is 'ClusterIP'"))
		}
		nodeErrs = append(nodeErrs, rules.Unique(nodePorts, portKey{port.Protocol, port.NodePort}, p.Child("nodePort"), port.NodePort)...)
	}
	return append(append(unused, nodeErrs...), errs...)
}

// maxAffinitySeconds is a day.
const maxAffinitySeconds = 86400

func validateSessionAffinity(s *corev1.ServiceSpec) field.ErrorList {
	errs := rules.RequiredOneOf(s.SessionAffinity, rules.SpecPath.Child("sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	p := rules.SpecPath.Child("sessionAffinityConfig")
	switch s.SessionAffinity {
	case corev1.ServiceAffinityClientIP:
		what := fmt.Sprintf("when session affinity type is %s", corev1.ServiceAffinityClientIP)
		switch c := s.SessionAffinityConfig; {
		case c == nil:
			errs = append(errs, field.Required(p, what))
		case c.ClientIP == nil:
			errs = append(errs, field.Required(p.Child("clientIP"), what))
		case c.ClientIP.TimeoutSeconds == nil:
			errs = append(errs, field.Required(p.Child("clientIP", "timeoutSeconds"), what))
		default:
			if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > maxAffinitySeconds {
				errs = append(errs, field.Invalid(p.Child("clientIP", "timeoutSeconds"), t, fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds)))
			}
		}
	case corev1.ServiceAffinityNone:
		if s.SessionAffinityConfig != nil {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone)))
		}
	}
	return errs
}

// validateServiceAddresses validates families and cluster IPs. The cluster has one family, IPv4: admission refuses the other.
func validateServiceAddresses(svc, old *corev1.Service) field.ErrorList {
	s := &svc.Spec
	if s.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	ips := rules.SpecPath.Child("clusterIPs")
	switch {
	case s.ClusterIP != "" && len(s.ClusterIPs) == 0:
		errs = append(errs, field.Required(ips, ""))
	case s.ClusterIP != "" && s.ClusterIPs[0] != s.ClusterIP:
		errs = append(errs, field.Invalid(ips, s.ClusterIPs, "first value must match `clusterIP`"))
	case s.ClusterIP == "" && len(s.ClusterIPs) > 0:
		errs = append(errs, field.Invalid(ips, s.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	}
	errs = append(errs, validateIPFamilies(s)...)
	bad := false
	for i, ip := range s.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(s.ClusterIPs) > 1 {
				bad = true
				errs = append(errs, field.Invalid(ips, s.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		invalid := validation.IsValidIPForLegacyField(ips.Index(i), ip, true, oldSpec(old).ClusterIPs)
		bad = bad || len(invalid) > 0
		errs = append(errs, invalid...)
	}
	if len(s.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ips, s.ClusterIPs, "may only hold up to 2 values"))
	}
	if bad || len(s.ClusterIPs) == 0 || isHeadless(svc) {
		return errs
	}
	if len(s.ClusterIPs) > 1 {
		if dual, err := netutils.IsDualStackIPStrings(s.ClusterIPs); err != nil || !dual {
			errs = append(errs, field.Invalid(ips, s.ClusterIPs, "may specify no more than one IP for each IP family"))
		}
	}
	for i, ip := range s.ClusterIPs[:min(len(s.ClusterIPs), len(s.IPFamilies))] {
		if f := s.IPFamilies[i]; f == corev1.IPv4Protocol && netutils.IsIPv6String(ip) || f == corev1.IPv6Protocol && !netutils.IsIPv6String(ip) {
			errs = append(errs, field.Invalid(ips.Index(i), ip, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%d]`", f, i)))
		}
	}
	return errs
}

func validateIPFamilies(s *corev1.ServiceSpec) field.ErrorList {
	var errs field.ErrorList
	families := rules.SpecPath.Child("ipFamilies")
	seen := map[corev1.IPFamily]bool{}
	for i, f := range s.IPFamilies {
		errs = append(errs, rules.OneOf(f, families.Index(i), corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		errs = append(errs, rules.Unique(seen, f, families.Index(i), f)...)
	}
	return append(errs, rules.OptionalOneOf(s.IPFamilyPolicy, rules.SpecPath.Child("ipFamilyPolicy"),
		corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
}

func validateTrafficPolicies(svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	s := &svc.Spec
	external := rules.SpecPath.Child("externalTrafficPolicy")
	switch {
	case externallyAccessible(svc):
		errs = append(errs, rules.RequiredOneOf(s.ExternalTrafficPolicy, external,
			corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
	case s.ExternalTrafficPolicy != "":
		errs = append(errs, field.Invalid(external, s.ExternalTrafficPolicy, "may only be set for externally-accessible services"))
	}
	health := rules.SpecPath.Child("healthCheckNodePort")
	switch {
	case !needsHealthCheck(svc):
		if s.HealthCheckNodePort != 0 {
			errs = append(errs, field.Invalid(health, s.HealthCheckNodePort,
				"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
		}
	case s.HealthCheckNodePort != 0: // else admission allocates one
		errs = append(errs, rules.Invalid(health, s.HealthCheckNodePort, validation.IsValidPortNum(int(s.HealthCheckNodePort)))...)
	}
	internal := rules.SpecPath.Child("internalTrafficPolicy")
	switch s.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if s.InternalTrafficPolicy == nil {
			errs = append(errs, field.Required(internal, ""))
		}
	}
	return append(errs, rules.OptionalOneOf(s.InternalTrafficPolicy, internal,
		corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)...)
}

func validateServiceUpdate(svc, old *corev1.Service) field.ErrorList {
	if errs := validateServiceAddresses(svc, old); len(errs) > 0 {
		return errs
	}
	errs := rules.ValidateObjectMetaUpdate(&svc.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, validateAddressesUpdate(svc, old)...)
	errs = append(errs, validateLoadBalancerClass(&svc.Spec, &old.Spec)...)
	if needsHealthCheck(old) && needsHealthCheck(svc) && svc.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("healthCheckNodePort"), "field is immutable"))
	}
	return append(errs, validateService(svc, old)...)
}

// validateAddressesUpdate reports a change of the first address or family. Further ones may be added, and released by the policy.
func validateAddressesUpdate(svc, old *corev1.Service) field.ErrorList {
	s, o := &svc.Spec, &old.Spec
	if s.Type == corev1.ServiceTypeExternalName || o.Type == corev1.ServiceTypeExternalName || isHeadless(svc) && isHeadless(old) {
		return nil
	}
	const once = "may not change once set"
	var errs field.ErrorList
	ips, families, policy := rules.SpecPath.Child("clusterIPs"), rules.SpecPath.Child("ipFamilies"), rules.SpecPath.Child("ipFamilyPolicy")
	single := ptr.Deref(s.IPFamilyPolicy, "") == corev1.IPFamilyPolicySingleStack
	switch is, was := s.ClusterIPs, o.ClusterIPs; {
	case len(is) == len(was):
		for i := range was {
			if is[i] != was[i] {
				errs = append(errs, field.Invalid(ips.Index(i), is, once))
			}
		}
	case len(is) == 0:
		errs = append(errs, field.Invalid(ips.Index(0), is, "primary clusterIP can not be unset"))
	default:
		if len(was) > 0 && is[0] != was[0] {
			errs = append(errs, field.Invalid(ips.Index(0), is, once))
		}
		if len(is) == 1 && len(was) > 1 && !single {
			errs = append(errs, field.Invalid(policy, s.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary clusterIP"))
		}
	}
	if isHeadless(svc) != isHeadless(old) {
		return errs
	}
	switch is, was := s.IPFamilies, o.IPFamilies; {
	case len(is) == len(was):
		for i := range was {
			if is[i] != was[i] {
				errs = append(errs, field.Invalid(families.Index(0), is, once))
			}
		}
	default:
		if len(is) < len(was) && len(s.ClusterIPs) == 0 {
			errs = append(errs, field.Invalid(families.Index(0), is, "primary ipFamily can not be unset"))
		}
		if len(is) > 0 && len(was) > 0 && is[0] != was[0] {
			errs = append(errs, field.Invalid(families.Index(0), s.ClusterIPs, once)) // the addresses in the place of the value, as upstream
		}
		if len(is) == 1 && len(was) > 1 && !single {
			errs = append(errs, field.Invalid(policy, s.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily"))
		}
	}
	return errs
}
