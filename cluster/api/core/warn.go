package core

import (
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func serviceWarnings(svc *corev1.Service) []string {
	var w podrules.Warnings
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	s, p := &svc.Spec, rules.SpecPath
	if _, has := svc.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; has {
		add("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode)
	}
	headless := s.Type == corev1.ServiceTypeClusterIP && isHeadless(svc)
	if !isHeadless(svc) {
		w.Addresses(s.ClusterIPs, p.Child("clusterIPs"))
	}
	if headless {
		if s.LoadBalancerIP != "" { //nolint:staticcheck // it is served
			add("spec.loadBalancerIP is ignored for headless services")
		}
		if len(s.ExternalIPs) > 0 {
			add("spec.externalIPs is ignored for headless services")
		}
		if s.SessionAffinity != corev1.ServiceAffinityNone {
			add("spec.SessionAffinity is ignored for headless services")
		}
	}
	w.Addresses(s.ExternalIPs, p.Child("externalIPs"))
	if len(s.ExternalIPs) > 0 && !headless && s.Type != corev1.ServiceTypeExternalName {
		add("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	}
	if ip := s.LoadBalancerIP; ip != "" { //nolint:staticcheck // it is served
		w = append(w, validation.GetWarningsForIP(p.Child("loadBalancerIP"), ip)...)
	}
	for i, r := range s.LoadBalancerSourceRanges {
		w = append(w, validation.GetWarningsForCIDR(p.Child("loadBalancerSourceRanges").Index(i), r)...)
	}
	if s.Type == corev1.ServiceTypeExternalName && len(s.ExternalIPs) > 0 {
		add("spec.externalIPs is ignored when spec.type is %q", s.Type)
	}
	if s.Type != corev1.ServiceTypeExternalName && s.ExternalName != "" {
		add("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName)
	}
	if s.TrafficDistribution != nil && *s.TrafficDistribution == corev1.ServiceTrafficDistributionPreferClose {
		add("spec.trafficDistribution: %q is deprecated; use %q", corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone)
	}
	return w
}

func secretWarnings(s *corev1.Secret) []string {
	if s.Type != corev1.SecretTypeTLS {
		return nil
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return []string{err.Error()}
	}
	return nil
}

func endpointsWarnings(e *corev1.Endpoints) []string {
	var w podrules.Warnings
	if e.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
		return nil
	}
	for i := range e.Subsets {
		for _, list := range []struct {
			name string
			of   []corev1.EndpointAddress
		}{{"addresses", e.Subsets[i].Addresses}, {"notReadyAddresses", e.Subsets[i].NotReadyAddresses}} {
			for k := range list.of {
				at := field.NewPath("subsets").Index(i).Child(list.name).Index(k).Child("ip")
				w = append(w, validation.GetWarningsForIP(at, list.of[k].IP)...)
			}
		}
	}
	return w
}

func nodeWarnings(n *corev1.Node) []string {
	var w podrules.Warnings
	if n.Spec.ConfigSource != nil { //nolint:staticcheck // it is served
		w = append(w, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		w = append(w, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		w = append(w, validation.GetWarningsForCIDR(rules.SpecPath.Child("podCIDRs").Index(i), cidr)...)
	}
	return w
}

func claimWarnings(c *corev1.PersistentVolumeClaim) []string {
	var w podrules.Warnings
	if _, has := c.Annotations[corev1.BetaStorageClassAnnotation]; has {
		w.Add(rules.MetadataPath.Child("annotations").Key(corev1.BetaStorageClassAnnotation), `deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	w.ClaimSpec(&c.Spec, rules.SpecPath)
	return w
}

func volumeWarnings(v *corev1.PersistentVolume) []string {
	var w podrules.Warnings
	w.PersistentVolume(v)
	return w
}

func serviceAccountWarnings(s *corev1.ServiceAccount) []string {
	const annotation = "kubernetes.io/enforce-mountable-secrets"
	if _, has := s.Annotations[annotation]; !has {
		return nil
	}
	return []string{"metadata.annotations[" + annotation + "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"}
}
