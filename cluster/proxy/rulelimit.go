package proxy

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

// maxRules bounds the rules of one service: its ports multiply with its addresses and its
// endpoints, so that an object of 600 kB could require two hundred million.
const maxRules = 100_000

// crowded returns why a service is refused because it needs more than maxRules, "" if it does not.
func crowded(svc *v1.Service, slices []*discovery.EndpointSlice) string {
	endpoints := 0
	for _, s := range slices {
		endpoints += len(s.Endpoints)
	}
	addresses := len(svc.Spec.ExternalIPs) + len(svc.Status.LoadBalancer.Ingress)*(1+len(svc.Spec.LoadBalancerSourceRanges))
	n := len(svc.Spec.Ports) * (1 + addresses + endpoints)
	if n <= maxRules {
		return ""
	}
	return "its ports, addresses and endpoints make " + strconv.Itoa(n) + " rules, and a service may have " + strconv.Itoa(maxRules)
}
