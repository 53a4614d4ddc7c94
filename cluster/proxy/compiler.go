package proxy

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/netfilter"
)

// Rules returns a node's rules. It does no I/O and does not change its arguments; equal
// snapshots have equal rules.
func Rules(node Node, s Snapshot) *Ruleset {
	return (&compiler{node: node}).rules(s)
}

// compiler computes rules incrementally. The objects of a snapshot must not change, as those
// of an informer do not: it keeps the rules of each service while its objects are the same, so that a change
// among ten thousand services costs little. The result is what Rules returns, whatever was computed before.
type compiler struct {
	node     Node
	services map[types.NamespacedName]*serviceRules
	order    []*serviceRules // by namespace and name

	// What is computed from all services, and kept while none of them needs another.
	accept      string // see reserved.accept
	nat, filter *netfilter.Part
	udp         map[Frontend][]netip.AddrPort

	unwritten map[types.NamespacedName]bool // services whose rules differ from those that were written last
	departed  map[netip.AddrPort]bool       // see retryConnections
}

// serviceRules are the rules of one service, and what they were computed from.
type serviceRules struct {
	key     types.NamespacedName
	place   int // in the order of all
	svc     *v1.Service
	slices  []*discovery.EndpointSlice
	refused map[frontend]string // frontends that it is refused, and why
	part    *netfilter.Part     // of table nat
	udp     map[Frontend][]netip.AddrPort
	health  HealthCheck
	events  []Refusal
	leadTo  []netip.AddrPort // the endpoints, of all ports

	leads
}

// candidate is a service to compute rules of.
type candidate struct {
	key    types.NamespacedName
	svc    *v1.Service
	slices []*discovery.EndpointSlice
	before *serviceRules // nil if it had none
}

// same reports whether the rules of before depend on the same objects.
func (n *candidate) same() bool {
	return n.before != nil && n.before.svc == n.svc && slices.Equal(n.before.slices, n.slices)
}

// inZone sets the node's zone, on which the rules of all services depend.
func (c *compiler) inZone(zone string) {
	if zone != c.node.Zone {
		c.node.Zone = zone
		c.forget()
	}
}

// forget makes it compute everything again.
func (c *compiler) forget() {
	*c = compiler{node: c.node, unwritten: c.unwritten, departed: c.departed}
}

func (c *compiler) rules(s Snapshot) *Ruleset {
	out := &Ruleset{UDP: c.udp, Health: map[types.NamespacedName]HealthCheck{}}
	served, tooMany := c.candidates(s)
	out.Refused = tooMany
	reserved := newReserved(c.node, s)
	newLeads, newUDP := c.update(served, refusals(served, reserved))
	if accept := reserved.accept(c.node); newLeads || c.nat == nil || accept != c.accept {
		c.accept = accept
		c.dispatch()
	}
	out.NAT, out.Filter = make(netfilter.Parts, 0, len(c.order)+1), netfilter.Parts{c.filter}
	if newUDP || c.udp == nil {
		out.UDP = make(map[Frontend][]netip.AddrPort, len(c.udp))
	}
	for _, p := range c.order {
		if len(p.part.Chains) > 0 {
			out.NAT = append(out.NAT, p.part)
		}
		if newUDP || c.udp == nil {
			maps.Copy(out.UDP, p.udp)
		}
		if p.health.Port != 0 {
			out.Health[p.key] = p.health
		}
		out.Refused = append(out.Refused, p.events...)
	}
	out.NAT = append(out.NAT, c.nat)
	c.udp = out.UDP
	return out
}

// candidates returns the services that are not refused for the number of their rules, in order, and the others.
func (c *compiler) candidates(s Snapshot) (served []candidate, tooMany []Refusal) {
	known, added := make([]candidate, len(c.order)), []candidate(nil)
	for _, svc := range s.Services {
		n := candidate{key: nameOf(svc), svc: svc}
		n.slices, n.before = s.Slices[n.key], c.services[n.key]
		if !n.same() {
			if why := crowded(svc, n.slices); why != "" {
				tooMany = append(tooMany, Refusal{Service: svc, At: "any of its addresses", Why: why})
				continue
			}
		}
		if n.before != nil {
			known[n.before.place] = n
		} else {
			added = append(added, n)
		}
	}
	slices.SortFunc(tooMany, func(x, y Refusal) int { return compareNames(nameOf(x.Service), nameOf(y.Service)) })
	served = slices.DeleteFunc(known, func(n candidate) bool { return n.svc == nil })
	if len(added) > 0 {
		served = append(served, added...)
		slices.SortFunc(served, func(x, y candidate) int { return compareNames(x.key, y.key) })
	}
	return served, tooMany
}

// update computes the rules of the services that have changed. It reports whether the leads of all, and the UDP frontends of
// all, are others than before.
func (c *compiler) update(served []candidate, refused map[types.NamespacedName]map[frontend]string) (newLeads, newUDP bool) {
	if c.services == nil {
		c.services = make(map[types.NamespacedName]*serviceRules, len(served))
	}
	left := len(c.services)
	order := make([]*serviceRules, 0, len(served))
	for i := range served {
		n := &served[i]
		p := n.before
		if p != nil {
			left--
		}
		if !n.same() || !maps.Equal(p.refused, refused[n.key]) {
			p = newServiceRules(c.node, n, refused[n.key])
			if !p.same(n.before) {
				c.unwritten = with(c.unwritten, n.key)
			}
			if n.before != nil {
				c.depart(n.before.leadTo, p.leadTo)
			}
			newLeads = newLeads || !p.leads.same(n.formerLeads())
			newUDP = newUDP || !maps.EqualFunc(p.udp, n.formerUDP(), slices.Equal[[]netip.AddrPort])
			c.services[n.key] = p
		}
		p.place = len(order)
		order = append(order, p)
	}
	c.order = order
	if left > 0 {
		maps.DeleteFunc(c.services, func(_ types.NamespacedName, p *serviceRules) bool {
			gone := p.place >= len(order) || order[p.place] != p
			if gone {
				c.depart(p.leadTo, nil)
			}
			return gone
		})
	}
	return newLeads || left > 0, newUDP || left > 0
}

func (n *candidate) formerLeads() leads {
	if n.before == nil {
		return leads{}
	}
	return n.before.leads
}

func (n *candidate) formerUDP() map[Frontend][]netip.AddrPort {
	if n.before == nil {
		return nil
	}
	return n.before.udp
}

// dispatch computes the chains that are not of one service.
func (c *compiler) dispatch() {
	var all leads
	for _, p := range c.order {
		all.add(p.leads)
	}
	c.nat, c.filter = &netfilter.Part{Chains: map[string]string{}}, &netfilter.Part{Chains: map[string]string{}}
	dispatch(c.nat.Chains, c.filter.Chains, c.accept, &all)
	fixed(c.node, c.nat.Chains, c.filter.Chains)
}

func newServiceRules(node Node, n *candidate, refused map[frontend]string) *serviceRules {
	p := &serviceRules{
		key: n.key, svc: n.svc, slices: slices.Clone(n.slices), refused: refused,
		part: &netfilter.Part{Chains: map[string]string{}}, udp: map[Frontend][]netip.AddrPort{},
	}
	p.events = p.refusals()
	if !hasClusterIP(p.svc) {
		return p
	}
	b := &builder{node: node, out: p}
	for i := range p.svc.Spec.Ports {
		if port := newPort(node, p.svc, &p.svc.Spec.Ports[i], p.slices); port != nil {
			b.port(port)
		}
	}
	if n := p.svc.Spec.HealthCheckNodePort; n != 0 && !b.refuses(netip.Addr{}, "tcp", n) {
		p.health = HealthCheck{Port: uint16(n), Local: localReady(node.Name, p.slices)}
	}
	return p
}

func (p *serviceRules) refusals() (list []Refusal) {
	for _, f := range slices.SortedFunc(maps.Keys(p.refused), frontend.compare) {
		list = append(list, Refusal{Service: p.svc, At: f.String(), Why: p.refused[f]})
	}
	if !hasClusterIP(p.svc) {
		return list
	}
	for i := range p.svc.Spec.Ports {
		if spec := &p.svc.Spec.Ports[i]; protocol(spec) == "" {
			list = append(list, Refusal{Service: p.svc, At: "port " + strconv.Itoa(int(spec.Port)) + "/" + string(spec.Protocol), Why: "they serve TCP and UDP only"})
		}
	}
	return list
}
