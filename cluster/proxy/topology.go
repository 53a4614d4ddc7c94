package proxy

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// Node is what the rules of a node depend on besides services and endpoints.
type Node struct {
	Name        string
	Zone        string // may be empty: zone hints are then ignored
	ClusterCIDR string // all pods; traffic from elsewhere to a service is masqueraded. May be empty
	ServiceCIDR string // all cluster IPs; no other address of a service may be in it. May be empty
	RandomFully bool   // iptables supports --random-fully
}

// Snapshot is what the rules are computed from.
type Snapshot struct {
	Services []*v1.Service
	Slices   map[types.NamespacedName][]*discovery.EndpointSlice // by service
	Nodes    []*v1.Node                                          // all, this one included
}

type endpoint struct {
	addr  netip.AddrPort
	local bool
}

func isReady(e *discovery.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// hinted are the ready endpoints whose hints name this node or its zone. Hints count only if
// every ready endpoint has one: otherwise the EndpointSlice controller has not set them
// all yet, or some zone is unknown.
type hinted struct {
	node, zone               []endpoint
	withoutNode, withoutZone bool // some endpoint has no hint for nodes, for zones
}

func (n *hinted) add(here Node, h *discovery.EndpointHints, ep endpoint) {
	if h == nil {
		h = &discovery.EndpointHints{}
	}
	if len(h.ForNodes) == 0 {
		n.withoutNode = true
	}
	for _, to := range h.ForNodes {
		if to.Name == here.Name {
			n.node = append(n.node, ep)
		}
	}
	if len(h.ForZones) == 0 {
		n.withoutZone = true
	}
	for _, to := range h.ForZones {
		if to.Name == here.Zone {
			n.zone = append(n.zone, ep)
		}
	}
}

// among returns those of this node, else those of its zone, else all.
func (n *hinted) among(ready []endpoint) []endpoint {
	switch {
	case !n.withoutNode && len(n.node) > 0:
		return n.node
	case !n.withoutZone && len(n.zone) > 0:
		return n.zone
	}
	return ready
}

// localReady returns the number of ready addresses that a service has on a node.
func localReady(node string, of []*discovery.EndpointSlice) int {
	seen := map[string]bool{}
	for _, s := range of {
		for i := range s.Endpoints {
			if e := &s.Endpoints[i]; len(e.Addresses) > 0 && isReady(e) && ptr.Deref(e.NodeName, "") == node {
				seen[e.Addresses[0]] = true
			}
		}
	}
	return len(seen)
}
