package proxy

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxRules bounds the rules of one service: its ports multiply with its addresses and its
// endpoints, so that an object of 600 kB could require two hundred million.
const maxRules = 100_000

// limitRules leaves out the services that need more than maxRules.
func limitRules(all []*v1.Service, slices map[types.NamespacedName][]*discovery.EndpointSlice) (kept []*v1.Service, refused []Refusal) {
	kept = all[:0]
	for _, svc := range all {
		endpoints := 0
		for _, s := range slices[types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}] {
			endpoints += len(s.Endpoints)
		}
		addresses := len(svc.Spec.ExternalIPs) + len(svc.Status.LoadBalancer.Ingress)*(1+len(svc.Spec.LoadBalancerSourceRanges))
		if n := len(svc.Spec.Ports) * (1 + addresses + endpoints); n > maxRules {
			refused = append(refused, Refusal{
				Service: svc, At: "any of its addresses",
				Why: "its ports, addresses and endpoints make " + strconv.Itoa(n) + " rules, and a service may have " + strconv.Itoa(maxRules),
			})
			continue
		}
		kept = append(kept, svc)
	}
	return kept, refused
}
