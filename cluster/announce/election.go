package announce

import (
	"cmp"
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/servicefacts"
)

// The times of the election. A node that dies has announced at most announceEvery ago; the first
// of those that are left answers silence later, and what its rank and the tick add: below 3 s.
const (
	tick          = 250 * time.Millisecond
	announceEvery = 500 * time.Millisecond
	silence       = 1500 * time.Millisecond
	firstSilence  = 750 * time.Millisecond // of an address that this node has heard nobody announce
	rankStep      = 250 * time.Millisecond
	lastStep      = 4 // further candidates wait as long as this one
	defendEvery   = 100 * time.Millisecond
)

// snapshot is what the candidates are computed from.
type snapshot struct {
	services []*v1.Service
	slices   map[types.NamespacedName][]*discovery.EndpointSlice // by service
	nodes    []*v1.Node
}

// address is one of the pool, in use by a service.
type address struct {
	service    *v1.Service
	candidates []string // names of nodes, the best one first
}

// plan returns the addresses to announce and who may: nodes that are ready and not excluded and,
// where the service's external traffic policy is Local, have an endpoint. It is pure; each
// address has an order of its own, so that they spread over the nodes.
func plan(s snapshot) map[netip.Addr]address {
	var ready []string
	own := map[netip.Addr]bool{}
	for _, n := range s.nodes {
		if mayAnnounce(n) {
			ready = append(ready, n.Name)
		}
		for _, a := range n.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil {
				own[ip.Unmap()] = true
			}
		}
	}
	out := map[netip.Addr]address{}
	for _, svc := range s.services {
		candidates := ready
		if svc.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal {
			of := s.slices[types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}]
			candidates = slices.DeleteFunc(slices.Clone(ready), func(node string) bool { return !hasEndpoint(node, of) })
		}
		for _, ip := range servicefacts.PoolAddresses(svc) {
			if before, double := out[ip]; own[ip] || double && older(before.service, svc) {
				continue
			}
			out[ip] = address{svc, ranked(ip, candidates)}
		}
	}
	return out
}

func older(a, b *v1.Service) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name)) < 0
}

func mayAnnounce(n *v1.Node) bool {
	_, excluded := n.Labels[v1.LabelNodeExcludeBalancers]
	return !excluded && n.DeletionTimestamp == nil && slices.ContainsFunc(n.Status.Conditions, func(c v1.NodeCondition) bool {
		return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue
	})
}

// hasEndpoint reports whether the proxy of the node sends traffic of policy Local somewhere: to
// ready endpoints or, without one, to those that still serve (KEP-1669).
func hasEndpoint(node string, of []*discovery.EndpointSlice) bool {
	for _, s := range of {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			leaving := ptr.Deref(e.Conditions.Serving, false) && ptr.Deref(e.Conditions.Terminating, false)
			if ptr.Deref(e.NodeName, "") == node && (ptr.Deref(e.Conditions.Ready, true) || leaving) {
				return true
			}
		}
	}
	return false
}

// ranked orders nodes for one address (rendezvous hashing): a node that comes or goes changes
// the first place of few addresses.
func ranked(ip netip.Addr, nodes []string) []string {
	weight := func(node string) string {
		sum := sha256.Sum256([]byte(ip.String() + " " + node))
		return string(sum[:])
	}
	out := slices.Clone(nodes)
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(weight(a), weight(b)) })
	return out
}

// nodeID is how nodes know each other's announcements.
func nodeID(name string) mac {
	sum := sha256.Sum256([]byte("wheelhouse announcer " + name))
	return mac(sum[:6])
}

// claim is one node's part in the election for one address.
type claim struct {
	address
	rank      int // among the candidates; below 0: it is none
	holds     bool
	heard     time.Time // the last announcement of another node, or the begin
	ever      bool      // there was an announcement since the begin
	by        string    // the node of the last one
	announced time.Time // by this node
	stranger  time.Time // when a machine that is no node of the cluster was last reported
}

// begin makes the node listen before it answers: at the start, when the link is back, or when
// the process did not run for a while.
func (c *claim) begin(now time.Time) { c.holds, c.heard, c.ever = false, now, false }

// step reports whether the node is to announce the address now.
func (c *claim) step(now time.Time) bool {
	if c.rank < 0 {
		c.holds = false
		return false
	}
	if !c.holds {
		wait := firstSilence
		switch {
		case c.ever && !slices.Contains(c.candidates, c.by): // it has stopped
			wait = 0
		case c.ever:
			wait = silence
		}
		if now.Sub(c.heard) < wait+time.Duration(min(c.rank, lastStep))*rankStep {
			return false
		}
		c.holds = true
	} else if now.Sub(c.announced) < announceEvery {
		return false
	}
	c.announced = now
	return true
}

// hear takes an announcement of another node, and reports whether this node is to announce in
// turn: of two that answer, the one that comes later among the candidates stops.
func (c *claim) hear(now time.Time, other string) bool {
	c.heard, c.ever, c.by = now, true, other
	if !c.holds {
		return false
	}
	if i := slices.Index(c.candidates, other); i >= 0 && i < c.rank {
		c.holds = false
		return false
	}
	return c.defend(now)
}

// defend reports whether the node is to announce although it is not time: who hears two senders
// keeps the last one. It is bounded, whatever the other one sends.
func (c *claim) defend(now time.Time) bool {
	if !c.holds || now.Sub(c.announced) < defendEvery {
		return false
	}
	c.announced = now
	return true
}
