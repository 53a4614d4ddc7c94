package proxy

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	netutils "k8s.io/utils/net"
	"k8s.io/utils/ptr"
)

// rejectVerdicts is how a connection to a port without endpoints is refused, by protocol. TCP gets a reset: the kernel holds
// ICMP messages back by their number, and none gets out for a minute to a neighbour in the same network that routes
// service addresses to the node, as each of its packets also causes an ICMP redirect (inet_peer.rate_last).
var rejectVerdicts = map[string]string{
	"tcp": "-j REJECT --reject-with tcp-reset",
	"udp": "-j REJECT --reject-with icmp-port-unreachable",
}

// port is one port of one service with the endpoints that this node sends it to.
type port struct {
	svc           *v1.Service
	spec          *v1.ServicePort
	name          string // namespace/name:port, as in comments and hashes
	proto         string // "tcp" or "udp"
	affinity      int    // seconds, 0 for none
	internalLocal bool
	externalLocal bool
	all, local    []endpoint // those that get traffic
}

// newPort returns nil for a port that we do not serve.
func newPort(node Node, svc *v1.Service, spec *v1.ServicePort, of []*discovery.EndpointSlice) *port {
	p := &port{svc: svc, spec: spec, name: svc.Namespace + "/" + svc.Name, proto: protocol(spec)}
	if p.proto == "" {
		return nil
	}
	if spec.Name != "" {
		p.name += ":" + spec.Name
	}
	if svc.Spec.SessionAffinity == v1.ServiceAffinityClientIP {
		p.affinity = int(v1.DefaultClientIPServiceAffinitySeconds)
		if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			p.affinity = int(*c.ClientIP.TimeoutSeconds)
		}
	}
	p.internalLocal = svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == v1.ServiceInternalTrafficPolicyLocal
	p.externalLocal = svc.Spec.ExternalTrafficPolicy == v1.ServiceExternalTrafficPolicyLocal
	p.all, p.local = endpointsOf(node, spec, of)
	return p
}

// protocol returns "tcp", "udp" or, for a protocol that we do not serve, "".
func protocol(p *v1.ServicePort) string {
	switch p.Protocol {
	case v1.ProtocolTCP, "":
		return "tcp"
	case v1.ProtocolUDP:
		return "udp"
	}
	return ""
}

// hasClusterIP reports whether the service has a cluster IP.
func hasClusterIP(svc *v1.Service) bool {
	return svc.Spec.Type != v1.ServiceTypeExternalName && svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != v1.ClusterIPNone
}

// endpointsOf picks the endpoints for a port: the ready ones that are meant for this
// node, or, where there is none, those that still serve while they terminate. The
// local ones are those on this node, whomever they are meant for.
func endpointsOf(node Node, spec *v1.ServicePort, of []*discovery.EndpointSlice) (all, local []endpoint) {
	var ready, leaving []endpoint
	var near hinted
	for _, s := range of {
		if s.AddressType != discovery.AddressTypeIPv4 {
			continue
		}
		for _, sp := range s.Ports {
			if ptr.Deref(sp.Name, "") != spec.Name || sp.Port == nil || !sameProtocol(sp.Protocol, spec.Protocol) {
				continue
			}
			for i := range s.Endpoints {
				e := &s.Endpoints[i]
				if len(e.Addresses) == 0 {
					continue
				}
				ip, err := netip.ParseAddr(e.Addresses[0])
				if err != nil || !ip.Is4() || !ip.IsGlobalUnicast() {
					continue // loopback, for example: each node's own, no target for other hosts' traffic
				}
				ep := endpoint{netip.AddrPortFrom(ip, uint16(*sp.Port)), ptr.Deref(e.NodeName, "") == node.Name}
				switch {
				case isReady(e):
					ready = append(ready, ep)
					near.add(node, e.Hints, ep)
				case ptr.Deref(e.Conditions.Serving, false) && ptr.Deref(e.Conditions.Terminating, false):
					leaving = append(leaving, ep)
				}
			}
		}
	}
	local = onlyLocal(ready)
	if len(local) == 0 {
		local = onlyLocal(leaving)
	}
	switch {
	case len(ready) == 0:
		all = leaving
	default:
		all = near.among(ready)
	}
	return sorted(all), sorted(local)
}

func onlyLocal(eps []endpoint) (local []endpoint) {
	for _, e := range eps {
		if e.local {
			local = append(local, e)
		}
	}
	return local
}

// sorted returns endpoints in order, each once though two slices name it.
func sorted(eps []endpoint) []endpoint {
	slices.SortFunc(eps, func(a, b endpoint) int { return a.addr.Compare(b.addr) })
	return slices.CompactFunc(eps, func(a, b endpoint) bool { return a.addr == b.addr })
}

func union(a, b []endpoint) []endpoint { return sorted(append(slices.Clone(a), b...)) }

func sameProtocol(p *v1.Protocol, q v1.Protocol) bool {
	return cmp.Or(ptr.Deref(p, ""), v1.ProtocolTCP) == cmp.Or(q, v1.ProtocolTCP)
}

func (p *port) svcChain() string { return "KUBE-SVC-" + hash(p.name, p.proto) }
func (p *port) svlChain() string { return "KUBE-SVL-" + hash(p.name, p.proto) }
func (p *port) extChain() string { return "KUBE-EXT-" + hash(p.name, p.proto) }
func (p *port) sepChain(e endpoint) string {
	return "KUBE-SEP-" + hash(p.name, p.proto, e.addr.String())
}

// hash shortens a name to what fits into a chain's 28 characters.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, " ")))
	return base32.StdEncoding.EncodeToString(sum[:])[:16]
}

// match selects packets to the port at address ip.
func (p *port) match(ip netip.Addr) string {
	return "-d " + ip.String() + "/32 -p " + p.proto + " -m " + p.proto + " --dport " + strconv.Itoa(int(p.spec.Port))
}

// fromOutside selects what does not come from a pod; such a client has no route
// that an endpoint's answer would come back on through here.
func (p *port) fromOutside(clusterCIDR string) string {
	if clusterCIDR == "" {
		return ""
	}
	return "! -s " + clusterCIDR
}

// comment labels a rule. Names and ports have no character that needs quoting.
func (p *port) comment(what string) string {
	text := p.name
	if what != "" {
		text += " " + what
	}
	return `-m comment --comment "` + text + `"`
}

func clusterIPs(svc *v1.Service) []netip.Addr {
	if len(svc.Spec.ClusterIPs) > 0 {
		return ipv4s(svc.Spec.ClusterIPs...)
	}
	return ipv4s(svc.Spec.ClusterIP)
}

func externalIPs(svc *v1.Service) []netip.Addr { return ipv4s(svc.Spec.ExternalIPs...) }

func balancerIPs(svc *v1.Service) (ips []netip.Addr) {
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode == v1.LoadBalancerIPModeVIP {
			ips = append(ips, ipv4s(in.IP)...)
		}
	}
	return ips
}

// ipv4Range is a source range as iptables takes it. One of IPv6, which a service may have,
// would make it refuse the rules of all services.
func ipv4Range(text string) (string, bool) {
	_, r, err := netutils.ParseCIDRSloppy(strings.TrimSpace(text)) // leading zeros are decimal
	if err != nil || r.IP.To4() == nil {
		return "", false
	}
	return r.String(), true
}

func ipv4s(texts ...string) (ips []netip.Addr) {
	for _, t := range texts {
		if ip, err := netip.ParseAddr(t); err == nil && ip.Is4() {
			ips = append(ips, ip)
		}
	}
	return ips
}
