package proxy

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/netfilter"
)

const mark = "0x4000/0x4000"

// Ruleset is the desired content of our chains.
type Ruleset struct {
	NAT, Filter netfilter.Parts // chains and their rules, each a line "-A CHAIN ...\n"
	UDP         map[Frontend][]netip.AddrPort
	Health      map[types.NamespacedName]HealthCheck
	Refused     []Refusal
}

// HealthCheck is a node's answer to the load balancers of a service.
type HealthCheck struct {
	Port  uint16 // the service's health check node port
	Local int    // ready endpoints on this node
}

// Frontend is a UDP address of services. The zero Addr stands for all of the node's own
// addresses (a NodePort).
type Frontend struct {
	Addr netip.Addr
	Port uint16
}

// dispatch adds the chains that lead packets to services. Cluster IPs precede all other addresses of services; what the
// node serves, which first accepts, precedes both.
func dispatch(nat, filter map[string]string, first string, all *leads) {
	var services, nodePorts, rejects, portRejects strings.Builder
	services.WriteString(first)
	byAddress.write(&services, servicesChain, clusterIPBranch, all.clusterIPs, nat)
	byAddress.write(&services, servicesChain, externalBranch, all.externals, nat)
	byPort.write(&nodePorts, nodePortsChain, nodePortBranch, all.nodePorts, nat)
	byAddress.write(&rejects, servicesChain, clusterIPBranch, all.rejects, filter)
	byPort.write(&portRejects, nodePortsChain, nodePortBranch, all.portRejects, filter)
	for _, w := range []*strings.Builder{&services, &rejects} {
		// Last, since an address that is no service's may still be a node port.
		netfilter.WriteRule(w, servicesChain, `-m comment --comment "node ports; must be the last rule"`, "-m addrtype --dst-type LOCAL", "-j "+nodePortsChain)
	}
	nat[servicesChain], nat[nodePortsChain] = services.String(), nodePorts.String()
	filter[servicesChain], filter[nodePortsChain] = rejects.String(), portRejects.String()
}

type builder struct {
	node Node
	out  *serviceRules
}

// to appends the rule to which packets to the port at ip lead.
func (b *builder) to(list *[]lead, p *port, ip netip.Addr, source, what, verdict string) {
	*list = append(*list, lead{addressKey(ip), rule(p.match(ip), source, p.comment(what), verdict)})
}

// toNode appends the rule to which packets to the node port lead.
func (b *builder) toNode(list *[]lead, p *port, what, verdict string) {
	match := "-p " + p.proto + " -m " + p.proto + " --dport " + strconv.Itoa(int(p.spec.NodePort))
	*list = append(*list, lead{portKey(p.proto, uint16(p.spec.NodePort)), rule(match, p.comment(what), verdict)})
}

func rule(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), " ")
}

func (b *builder) refuses(addr netip.Addr, proto string, port int32) bool {
	_, refused := b.out.refused[frontend{addr, proto, uint16(port)}]
	return refused
}

func (b *builder) port(p *port) {
	b.clusterIP(p)
	if p.svc.Spec.Type != v1.ServiceTypeClusterIP || len(p.svc.Spec.ExternalIPs) > 0 {
		b.external(p)
	}
	b.balancer(p.svcChain(), p, p.all, p.fromOutside(b.node.ClusterCIDR))
	if p.internalLocal || p.externalLocal {
		b.balancer(p.svlChain(), p, p.local, "")
	}
	used := p.all
	if len(p.local) > 0 && (p.internalLocal || p.externalLocal) {
		used = union(p.all, p.local)
	}
	for _, e := range used {
		b.out.leadTo = append(b.out.leadTo, e.addr)
		b.endpoint(p, e)
	}
}

// clusterIP adds the rules from the cluster IP to the endpoints, or the reject.
func (b *builder) clusterIP(p *port) {
	target, eps, verdict := p.svcChain(), p.all, rejectVerdicts[p.proto]
	if p.internalLocal {
		target, eps = p.svlChain(), p.local
		if len(p.all) > 0 {
			verdict = "-j DROP" // others have endpoints, this node has none
		}
	}
	for _, ip := range clusterIPs(p.svc) {
		b.udp(p, Frontend{ip, uint16(p.spec.Port)}, eps)
		if len(eps) > 0 {
			b.to(&b.out.clusterIPs, p, ip, "", "cluster IP", "-j "+target)
		} else {
			b.to(&b.out.rejects, p, ip, "", "has no endpoints", verdict)
		}
	}
}

// external adds the rules from NodePort, external IPs and load balancer addresses to the
// endpoints, through one chain that decides about masquerading.
func (b *builder) external(p *port) {
	verdict := rejectVerdicts[p.proto]
	if p.externalLocal && len(p.all) > 0 {
		verdict = "-j DROP"
	}
	refuse := len(p.all) == 0 || (p.externalLocal && len(p.local) == 0)
	eps := p.all
	if p.externalLocal {
		eps = union(p.all, p.local) // pods and the node itself still reach all
	}
	lead := func(ip netip.Addr, what, source string) {
		if len(p.all) > 0 {
			b.to(&b.out.externals, p, ip, source, what, "-j "+p.extChain())
		}
	}
	for _, ip := range externalIPs(p.svc) {
		if b.refuses(ip, p.proto, p.spec.Port) {
			continue
		}
		b.udp(p, Frontend{ip, uint16(p.spec.Port)}, eps)
		lead(ip, "external IP", "")
		if refuse {
			b.to(&b.out.rejects, p, ip, "", "has no endpoints", verdict)
		}
	}
	for _, ip := range balancerIPs(p.svc) {
		if b.refuses(ip, p.proto, p.spec.Port) {
			continue
		}
		b.udp(p, Frontend{ip, uint16(p.spec.Port)}, eps)
		ranges := p.svc.Spec.LoadBalancerSourceRanges
		if len(ranges) == 0 {
			lead(ip, "loadbalancer IP", "")
		}
		for _, r := range ranges {
			if source, ok := ipv4Range(r); ok {
				lead(ip, "loadbalancer IP", "-s "+source)
			}
		}
		switch {
		case refuse:
			b.to(&b.out.rejects, p, ip, "", "has no endpoints", verdict)
		case len(ranges) > 0: // packets that no rule above translated still have this destination
			b.to(&b.out.rejects, p, ip, "", "source not in loadBalancerSourceRanges", "-j DROP")
		}
	}
	if n := p.spec.NodePort; n != 0 && !b.refuses(netip.Addr{}, p.proto, n) {
		b.udp(p, Frontend{Port: uint16(n)}, eps)
		if len(p.all) > 0 {
			b.toNode(&b.out.nodePorts, p, "node port", "-j "+p.extChain())
		}
		if refuse {
			b.toNode(&b.out.portRejects, p, "has no endpoints", verdict)
		}
	}
	if len(p.all) > 0 {
		b.externalChain(p)
	}
}

func (b *builder) externalChain(p *port) {
	chain := p.extChain()
	var w strings.Builder
	if p.externalLocal {
		if b.node.ClusterCIDR != "" {
			netfilter.WriteRule(&w, chain, "-s "+b.node.ClusterCIDR, p.comment("pod traffic"), "-j "+p.svcChain())
		}
		netfilter.WriteRule(&w, chain, "-m addrtype --src-type LOCAL", p.comment("node traffic"), "-j "+markMasqChain)
		netfilter.WriteRule(&w, chain, "-m addrtype --src-type LOCAL", p.comment("node traffic"), "-j "+p.svcChain())
		if len(p.local) > 0 {
			netfilter.WriteRule(&w, chain, p.comment(""), "-j "+p.svlChain())
		}
	} else {
		// The endpoint may be on another node: replies must return through this one.
		netfilter.WriteRule(&w, chain, p.comment(""), "-j "+markMasqChain)
		netfilter.WriteRule(&w, chain, p.comment(""), "-j "+p.svcChain())
	}
	b.out.part.Chains[chain] = w.String()
}

// balancer distributes connections evenly: the k-th of n endpoints is chosen with probability
// 1/(n-k). With session affinity, an endpoint that had the client within the timeout
// comes first.
func (b *builder) balancer(chain string, p *port, eps []endpoint, masquerade string) {
	if len(eps) == 0 {
		return
	}
	var w strings.Builder
	if masquerade != "" {
		for _, ip := range clusterIPs(p.svc) {
			netfilter.WriteRule(&w, chain, masquerade, p.match(ip), p.comment("cluster IP"), "-j "+markMasqChain)
		}
	}
	if p.affinity > 0 {
		for _, e := range eps {
			sep := p.sepChain(e)
			netfilter.WriteRule(&w, chain, p.comment("affinity"), "-m recent --name "+sep+" --rcheck --seconds "+strconv.Itoa(p.affinity)+" --reap", "-j "+sep)
		}
	}
	for i, e := range eps {
		var chance string
		if left := len(eps) - i; left > 1 {
			chance = "-m statistic --mode random --probability " + strconv.FormatFloat(1/float64(left), 'f', 10, 64)
		}
		netfilter.WriteRule(&w, chain, p.comment("-> "+e.addr.String()), chance, "-j "+p.sepChain(e))
	}
	b.out.part.Chains[chain] = w.String()
}

func (b *builder) endpoint(p *port, e endpoint) {
	chain := p.sepChain(e)
	var w strings.Builder
	// A pod that connects to itself must get the reply from another address.
	netfilter.WriteRule(&w, chain, "-s "+e.addr.Addr().String(), p.comment(""), "-j "+markMasqChain)
	var recent string
	if p.affinity > 0 {
		recent = "-m recent --name " + chain + " --set"
	}
	netfilter.WriteRule(&w, chain, "-p "+p.proto, p.comment(""), recent, "-m "+p.proto, "-j DNAT --to-destination "+e.addr.String())
	b.out.part.Chains[chain] = w.String()
}

func (b *builder) udp(p *port, f Frontend, eps []endpoint) {
	if p.proto != "udp" {
		return
	}
	backends := make([]netip.AddrPort, 0, len(eps))
	for _, e := range eps {
		backends = append(backends, e.addr)
	}
	b.out.udp[f] = backends
}

// fixed adds the chains that every node has.
func fixed(node Node, nat, filter map[string]string) {
	random := ""
	if node.RandomFully {
		random = " --random-fully"
	}
	nat[markMasqChain] = "-A " + markMasqChain + " -j MARK --set-xmark " + mark + "\n"
	nat[postroutingChain] = "-A " + postroutingChain + " -m mark ! --mark " + mark + " -j RETURN\n" +
		// A packet that passes these rules again (in a tunnel) must not be marked.
		"-A " + postroutingChain + " -j MARK --set-xmark 0x4000/0x0\n" +
		"-A " + postroutingChain + " -j MASQUERADE" + random + "\n"
	filter[forwardChain] = "-A " + forwardChain + " -m conntrack --ctstate INVALID -j DROP\n" +
		"-A " + forwardChain + " -m mark --mark " + mark + " -j ACCEPT\n" +
		"-A " + forwardChain + " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
	// NodePorts on 127.0.0.1 need route_localnet; no other host may use it, not even with a
	// source address of the node (CVE-2020-8558).
	filter[firewallChain] = "-A " + firewallChain + " ! -i lo -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n"
}
