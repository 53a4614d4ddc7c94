package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

const onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'"

func validateLoadBalancer(svc, old *corev1.Service) field.ErrorList {
	s := &svc.Spec
	errs := validateSourceRanges(svc, old)
	at := rules.SpecPath.Child("allocateLoadBalancerNodePorts")
	if s.Type != corev1.ServiceTypeLoadBalancer {
		if s.AllocateLoadBalancerNodePorts != nil {
			errs = append(errs, field.Forbidden(at, onlyLoadBalancer))
		}
	} else if s.AllocateLoadBalancerNodePorts == nil {
		errs = append(errs, field.Required(field.NewPath("allocateLoadBalancerNodePorts"), ""))
	}
	return append(errs, validateLoadBalancerClass(s, nil)...)
}

// validateSourceRanges validates the field or, if it is empty, the annotation of old manifests.
func validateSourceRanges(svc, old *corev1.Service) field.ErrorList {
	s := &svc.Spec
	var errs field.ErrorList
	if len(s.LoadBalancerSourceRanges) > 0 {
		p := rules.SpecPath.Child("loadBalancerSourceRanges")
		if s.Type != corev1.ServiceTypeLoadBalancer {
			errs = append(errs, field.Forbidden(p, onlyLoadBalancer))
		}
		var before []string
		for _, r := range oldSpec(old).LoadBalancerSourceRanges {
			before = append(before, strings.TrimSpace(r))
		}
		for i, r := range s.LoadBalancerSourceRanges {
			errs = append(errs, validation.IsValidCIDRForLegacyField(p.Index(i), strings.TrimSpace(r), true, before)...)
		}
		return errs
	}
	ranges, has := svc.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if !has {
		return nil
	}
	p := rules.MetadataPath.Child("annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
	if s.Type != corev1.ServiceTypeLoadBalancer {
		errs = append(errs, field.Forbidden(p, onlyLoadBalancer))
	}
	if old != nil && old.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey] == ranges || strings.TrimSpace(ranges) == "" {
		return errs
	}
	for r := range strings.SplitSeq(strings.TrimSpace(ranges), ",") {
		errs = append(errs, validation.IsValidCIDRForLegacyField(p, strings.TrimSpace(r), true, nil)...)
	}
	return errs
}

// validateLoadBalancerClass validates the class, which is immutable once it matters. Without old the service is new.
func validateLoadBalancerClass(s, old *corev1.ServiceSpec) field.ErrorList {
	p := rules.SpecPath.Child("loadBalancerClass")
	if s.Type != corev1.ServiceTypeLoadBalancer {
		if s.LoadBalancerClass != nil {
			return field.ErrorList{field.Forbidden(p, onlyLoadBalancer)}
		}
		return nil
	}
	var errs field.ErrorList
	if old != nil && old.Type == corev1.ServiceTypeLoadBalancer && !ptr.Equal(s.LoadBalancerClass, old.LoadBalancerClass) {
		errs = append(errs, field.Invalid(p, s.LoadBalancerClass, "may not change once set"))
	}
	return append(errs, rules.OptionalPointer(s.LoadBalancerClass, p, validation.IsQualifiedName)...)
}

func validateLoadBalancerStatus(svc, old *corev1.Service) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&svc.ObjectMeta, &old.ObjectMeta)
	var had []string // what is stored stays valid
	for _, in := range old.Status.LoadBalancer.Ingress {
		had = append(had, in.IP)
	}
	p := rules.StatusPath.Child("loadBalancer", "ingress")
	if len(svc.Status.LoadBalancer.Ingress) > 0 && svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return append(errs, field.Forbidden(p, "may only be used when `spec.type` is 'LoadBalancer'"))
	}
	for i, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(p.Index(i).Child("ip"), in.IP, true, had)...)
		}
		errs = append(errs, validateIPMode(&in, p.Index(i).Child("ipMode"))...)
		errs = append(errs, rules.OptionalValue(in.Hostname, p.Index(i).Child("hostname"), validation.IsDNS1123Subdomain)...)
		if netutils.ParseIPSloppy(in.Hostname) != nil {
			errs = append(errs, field.Invalid(p.Index(i).Child("hostname"), in.Hostname, "must be a DNS name, not an IP address"))
		}
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
