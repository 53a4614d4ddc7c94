package endpoints

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api/podfacts"
)

// Selects reports whether a service's selector matches labels. An empty selector selects
// nothing: users write the endpoints of such a service.
func Selects(svc *v1.Service, labels map[string]string) bool {
	if len(svc.Spec.Selector) == 0 || svc.Spec.Type == v1.ServiceTypeExternalName {
		return false
	}
	for k, v := range svc.Spec.Selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// IsEndpoint reports whether a pod is an endpoint, ready or not. terminating includes
// terminating pods.
func IsEndpoint(p *v1.Pod, terminating bool) bool {
	if p.Status.PodIP == "" || podfacts.Terminal(p) {
		return false
	}
	return terminating || p.DeletionTimestamp == nil
}

// Concerns reports whether endpoints can differ between two states of a pod.
func Concerns(old, now *v1.Pod) bool {
	return (old.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) ||
		old.Status.PodIP != now.Status.PodIP || !slices.Equal(old.Status.PodIPs, now.Status.PodIPs) ||
		old.Spec.NodeName != now.Spec.NodeName || podfacts.Ready(old) != podfacts.Ready(now) ||
		IsEndpoint(old, true) != IsEndpoint(now, true) || !maps.Equal(old.Labels, now.Labels)
}

// TargetPort returns the port of a service on one pod: a number as it is, a name by the
// containers' ports of the same protocol.
func TargetPort(p *v1.Pod, sp *v1.ServicePort) (int32, bool) {
	if sp.TargetPort.Type == intstr.Int {
		if n := sp.TargetPort.IntVal; n != 0 {
			return n, true
		}
		return sp.Port, true
	}
	find := func(cs []v1.Container, all bool) (int32, bool) {
		for i := range cs {
			if !all && !podfacts.Sidecar(&cs[i]) {
				continue
			}
			for _, port := range cs[i].Ports {
				if port.Name == sp.TargetPort.StrVal && protocol(port.Protocol) == protocol(sp.Protocol) {
					return port.ContainerPort, true
				}
			}
		}
		return 0, false
	}
	if n, ok := find(p.Spec.Containers, true); ok {
		return n, true
	}
	return find(p.Spec.InitContainers, false)
}

// Hostname returns the pod's DNS name within the service, or "".
func Hostname(p *v1.Pod, svc *v1.Service) string {
	if p.Spec.Subdomain == svc.Name {
		return p.Spec.Hostname
	}
	return ""
}

// Address returns the pod's address of the family, or "".
func Address(p *v1.Pod, v6 bool) string {
	for _, ip := range p.Status.PodIPs {
		if isV6(ip.IP) == v6 {
			return ip.IP
		}
	}
	if isV6(p.Status.PodIP) == v6 {
		return p.Status.PodIP
	}
	return ""
}

// V6 reports whether the service's first family is IPv6.
func V6(svc *v1.Service) bool {
	if len(svc.Spec.IPFamilies) > 0 {
		return svc.Spec.IPFamilies[0] == v1.IPv6Protocol
	}
	return isV6(svc.Spec.ClusterIP)
}

// TargetRef returns a reference to the pod of an address.
func TargetRef(p *v1.Pod) *v1.ObjectReference {
	return &v1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

func isV6(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.Is6() && !a.Is4In6()
}

func protocol(p v1.Protocol) v1.Protocol { return cmp.Or(p, v1.ProtocolTCP) }
