package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func validateService(svc *corev1.Service) field.ErrorList {
	errs := rules.ValidateObjectMeta(&svc.ObjectMeta, true, rules.DNS1035Label)
	s := &svc.Spec
	if len(s.Ports) == 0 && !isHeadless(svc) && s.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(rules.SpecPath.Child("ports"), ""))
	}
	errs = append(errs, validateServiceType(svc)...)
	errs = append(errs, validateServicePorts(svc)...)
	if len(s.Selector) > 0 {
		errs = append(errs, metav1validation.ValidateLabels(s.Selector, rules.SpecPath.Child("selector"))...)
	}
	errs = append(errs, validateSessionAffinity(s)...)
	errs = append(errs, validateServiceAddresses(svc)...)
	for i, ip := range s.ExternalIPs {
		p := rules.SpecPath.Child("externalIPs").Index(i)
		if bad := validation.IsValidIPForLegacyField(p, ip, false, nil); len(bad) > 0 {
			errs = append(errs, bad...)
		} else {
			errs = append(errs, ValidateNonSpecialIP(ip, p)...)
		}
	}
	errs = append(errs, validateTrafficPolicies(svc)...)
	errs = append(errs, rules.OptionalOneOf(s.TrafficDistribution, rules.SpecPath.Child("trafficDistribution"), corev1.ServiceTrafficDistributionPreferClose,
		corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)...)
	return append(errs, validateLoadBalancer(svc)...)
}

func validateServiceType(svc *corev1.Service) field.ErrorList {
	s := &svc.Spec
	errs := rules.RequiredOneOf(s.Type, rules.SpecPath.Child("type"),
		corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	switch s.Type {
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if isHeadless(svc) {
			errs = append(errs, field.Invalid(rules.SpecPath.Child("clusterIPs").Index(0), corev1.ClusterIPNone,
				fmt.Sprintf("may not be set to 'None' for %s services", s.Type)))
		}
	case corev1.ServiceTypeExternalName:
		if len(s.ClusterIPs) > 0 || s.ClusterIP != "" {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("clusterIPs"), "may not be set for ExternalName services"))
		}
		if name := strings.TrimSuffix(s.ExternalName, "."); name != "" {
			errs = append(errs, rules.Invalid(rules.SpecPath.Child("externalName"), name, validation.IsDNS1123Subdomain(name))...)
		} else {
			errs = append(errs, field.Required(rules.SpecPath.Child("externalName"), ""))
		}
	}
	return errs
}

func validateServicePorts(svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	type portKey struct {
		protocol corev1.Protocol
		port     int32
	}
	names, ports, nodePorts := map[string]bool{}, map[portKey]bool{}, map[portKey]bool{}
	for i := range svc.Spec.Ports {
		port, p := &svc.Spec.Ports[i], rules.SpecPath.Child("ports").Index(i)
		switch port.Name {
		case "":
			if len(svc.Spec.Ports) > 1 {
				errs = append(errs, field.Required(p.Child("name"), ""))
			}
		default:
			errs = append(errs, rules.Invalid(p.Child("name"), port.Name, validation.IsDNS1123Label(port.Name))...)
			errs = append(errs, rules.Unique(names, port.Name, p.Child("name"), port.Name)...)
		}
		errs = append(errs, rules.Invalid(p.Child("port"), int64(port.Port), validation.IsValidPortNum(int(port.Port)))...)
		errs = append(errs, rules.RequiredOneOf(port.Protocol, p.Child("protocol"), rules.Protocols...)...)
		errs = append(errs, podrules.ValidatePortNumOrName(port.TargetPort, p.Child("targetPort"))...)
		errs = append(errs, ValidateAppProtocol(port.AppProtocol, p.Child("appProtocol"))...)
		if key := (portKey{port.Protocol, port.Port}); ports[key] {
			errs = append(errs, field.Duplicate(p, corev1.ServicePort{Protocol: port.Protocol, Port: port.Port}))
		} else {
			ports[key] = true
		}
		if port.NodePort == 0 {
			continue
		}
		at := p.Child("nodePort")
		if svc.Spec.Type == corev1.ServiceTypeClusterIP || svc.Spec.Type == corev1.ServiceTypeExternalName {
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("may not be used when `type` is '%s'", svc.Spec.Type)))
		}
		if key := (portKey{port.Protocol, port.NodePort}); nodePorts[key] {
			errs = append(errs, field.Duplicate(at, port.NodePort))
		} else {
			nodePorts[key] = true
		}
	}
	return errs
}

// maxAffinitySeconds is a day.
const maxAffinitySeconds = 86400

func validateSessionAffinity(s *corev1.ServiceSpec) field.ErrorList {
	errs := rules.RequiredOneOf(s.SessionAffinity, rules.SpecPath.Child("sessionAffinity"), corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	p := rules.SpecPath.Child("sessionAffinityConfig")
	switch s.SessionAffinity {
	case corev1.ServiceAffinityClientIP:
		c := s.SessionAffinityConfig
		if c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			return append(errs, field.Required(p.Child("clientIP", "timeoutSeconds"), ""))
		}
		if t := *c.ClientIP.TimeoutSeconds; t <= 0 || t > maxAffinitySeconds {
			errs = append(errs, field.Invalid(p.Child("clientIP", "timeoutSeconds"), t, fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds)))
		}
	case corev1.ServiceAffinityNone:
		if s.SessionAffinityConfig != nil {
			errs = append(errs, field.Forbidden(p, fmt.Sprintf("must not be set when session affinity is %s", corev1.ServiceAffinityNone)))
		}
	}
	return errs
}

// validateServiceAddresses validates families and cluster IPs. The cluster has one family, IPv4.
func validateServiceAddresses(svc *corev1.Service) field.ErrorList {
	s := &svc.Spec
	if s.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	families := rules.SpecPath.Child("ipFamilies")
	seen := map[corev1.IPFamily]bool{}
	for i, f := range s.IPFamilies {
		switch {
		case f != corev1.IPv4Protocol && f != corev1.IPv6Protocol:
			errs = append(errs, field.NotSupported(families.Index(i), f, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}))
		case seen[f]:
			errs = append(errs, field.Duplicate(families.Index(i), f))
		case f == corev1.IPv6Protocol:
			errs = append(errs, field.Invalid(families.Index(i), f, "not configured on this cluster"))
		}
		seen[f] = true
	}
	if s.IPFamilyPolicy != nil {
		p := rules.SpecPath.Child("ipFamilyPolicy")
		errs = append(errs, rules.OneOf(*s.IPFamilyPolicy, p,
			corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
		if *s.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
			errs = append(errs, field.Invalid(p, *s.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
		}
	}
	ips := rules.SpecPath.Child("clusterIPs")
	if len(s.ClusterIPs) == 0 {
		if s.ClusterIP != "" {
			errs = append(errs, field.Required(ips, "must be specified when `clusterIP` is specified"))
		}
		return errs
	}
	if s.ClusterIP != s.ClusterIPs[0] {
		errs = append(errs, field.Invalid(ips, s.ClusterIPs, "first value must match `clusterIP`"))
	}
	for i, ip := range s.ClusterIPs {
		switch {
		case i == 0 && ip == corev1.ClusterIPNone:
			if len(s.ClusterIPs) > 1 {
				errs = append(errs, field.Invalid(ips.Index(i), ip, "can not have more than one entry for headless services"))
			}
		case i > 1:
			errs = append(errs, field.Invalid(ips, s.ClusterIPs, "may only hold up to 2 values"))
		default:
			bad := validation.IsValidIPForLegacyField(ips.Index(i), ip, false, nil)
			errs = append(errs, bad...)
			if len(bad) == 0 && strings.Contains(ip, ":") {
				errs = append(errs, field.Invalid(ips.Index(i), ip, "not configured on this cluster"))
			}
		}
	}
	return errs
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
	if s.HealthCheckNodePort != 0 && !needsHealthCheck(svc) {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("healthCheckNodePort"), s.HealthCheckNodePort,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	if s.Type == corev1.ServiceTypeExternalName || s.Type == "" {
		return errs
	}
	internal := rules.SpecPath.Child("internalTrafficPolicy")
	if s.InternalTrafficPolicy == nil {
		return append(errs, field.Required(internal, ""))
	}
	return append(errs, rules.OneOf(*s.InternalTrafficPolicy, internal,
		corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)...)
}

func validateLoadBalancer(svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	s := &svc.Spec
	const onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"
	if s.Type == corev1.ServiceTypeLoadBalancer {
		for i, r := range s.LoadBalancerSourceRanges {
			errs = append(errs, validation.IsValidCIDRForLegacyField(rules.SpecPath.Child("loadBalancerSourceRanges").Index(i), strings.TrimSpace(r), false, nil)...)
		}
		if s.AllocateLoadBalancerNodePorts == nil {
			errs = append(errs, field.Required(rules.SpecPath.Child("allocateLoadBalancerNodePorts"), ""))
		}
		errs = append(errs, rules.OptionalPointer(s.LoadBalancerClass, rules.SpecPath.Child("loadBalancerClass"), validation.IsQualifiedName)...)
		return errs
	}
	if len(s.LoadBalancerSourceRanges) > 0 {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("loadBalancerSourceRanges"), onlyLoadBalancer))
	}
	if s.AllocateLoadBalancerNodePorts != nil {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("allocateLoadBalancerNodePorts"), onlyLoadBalancer))
	}
	if s.LoadBalancerClass != nil {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("loadBalancerClass"), onlyLoadBalancer))
	}
	return errs
}

func validateServiceUpdate(svc, old *corev1.Service) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&svc.ObjectMeta, &old.ObjectMeta)
	s, o := &svc.Spec, &old.Spec
	if s.Type != corev1.ServiceTypeExternalName && o.Type != corev1.ServiceTypeExternalName && len(o.ClusterIPs) > 0 {
		ips := rules.SpecPath.Child("clusterIPs")
		switch {
		case len(s.ClusterIPs) == 0:
			errs = append(errs, field.Invalid(ips.Index(0), s.ClusterIPs, "primary clusterIP can not be unset"))
		case s.ClusterIPs[0] != o.ClusterIPs[0]:
			errs = append(errs, field.Invalid(ips.Index(0), s.ClusterIPs, "may not change once set"))
		}
	}
	if s.Type == corev1.ServiceTypeLoadBalancer && o.Type == corev1.ServiceTypeLoadBalancer {
		errs = append(errs, rules.Immutable(s.LoadBalancerClass, o.LoadBalancerClass, rules.SpecPath.Child("loadBalancerClass"))...)
	}
	return append(errs, validateService(svc)...)
}

func validateLoadBalancerStatus(svc *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	p := rules.StatusPath.Child("loadBalancer", "ingress")
	if len(svc.Status.LoadBalancer.Ingress) > 0 && svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return append(errs, field.Forbidden(p, "may only be used when `spec.type` is 'LoadBalancer'"))
	}
	for i, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(p.Index(i).Child("ip"), in.IP, false, nil)...)
		}
		errs = append(errs, validateIPMode(&in, p.Index(i).Child("ipMode"))...)
		errs = append(errs, rules.OptionalValue(in.Hostname, p.Index(i).Child("hostname"), validation.IsDNS1123Subdomain)...)
	}
	return errs
}

// validateIPMode validates ipMode, which an address must have and a hostname must not.
func validateIPMode(in *corev1.LoadBalancerIngress, p *field.Path) field.ErrorList {
	switch {
	case in.IPMode == nil && in.IP != "":
		return field.ErrorList{field.Required(p, "must be specified when `ip` is set")}
	case in.IPMode == nil:
		return nil
	case in.IP == "":
		return field.ErrorList{field.Forbidden(p, "may not be specified when `ip` is not set")}
	}
	return rules.OneOf(*in.IPMode, p, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)
}
