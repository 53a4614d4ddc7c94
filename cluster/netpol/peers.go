package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/netfilter"
)

// peer is a pod as policies select it. Pods that have the node's network are none: their traffic is the node's.
type peer struct {
	node   string
	labels labels.Set
	ip     netip.Addr
	ports  []v1.ContainerPort // those with names
}

func (p *peer) member() netfilter.Member { return netfilter.Member{Prefix: netip.PrefixFrom(p.ip, 32)} }

// peersOf returns the pods that have an address of their own, by namespace: also while they terminate, and not after, when
// another pod can have their address.
func peersOf(pods []*v1.Pod) map[string][]peer {
	all := map[string][]peer{}
	for _, pod := range pods {
		if ip, ok := address(pod); ok {
			all[pod.Namespace] = append(all[pod.Namespace], peer{pod.Spec.NodeName, pod.Labels, ip, namedPorts(pod)})
		}
	}
	return all
}

// address returns the IPv4 address that is a pod's own.
func address(pod *v1.Pod) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	return ip, err == nil && ip.Is4() && !pod.Spec.HostNetwork && !podfacts.Terminal(pod)
}

func namedPorts(pod *v1.Pod) (named []v1.ContainerPort) {
	add := func(containers []v1.Container) {
		for i := range containers {
			for _, port := range containers[i].Ports {
				if port.Name != "" {
					named = append(named, port)
				}
			}
		}
	}
	add(pod.Spec.Containers)
	for i := range pod.Spec.InitContainers {
		if podfacts.Sidecar(&pod.Spec.InitContainers[i]) {
			add(pod.Spec.InitContainers[i : i+1])
		}
	}
	return named
}

// The cluster's DNS as a pod, and the names of its ports.
var (
	dnsLabels = labels.Set{"k8s-app": "kube-dns"}
	dnsPorts  = map[string]uint8{"dns": unix.IPPROTO_UDP, "dns-tcp": unix.IPPROTO_TCP}
)

// matches returns what a policy admits in a direction: each is a part of a rule, empty for all packets.
func (c *compiler) matches(p *policy, t networkingv1.PolicyType) []string {
	if m, done := p.matches[t]; done {
		return m
	}
	list := []string{} // not nil: computed
	if t == networkingv1.PolicyTypeEgress {
		for _, r := range p.Spec.Egress {
			list = c.rule(list, p, r.To, r.Ports, "dst")
		}
	} else {
		for _, r := range p.Spec.Ingress {
			list = c.rule(list, p, r.From, r.Ports, "src")
		}
	}
	p.matches[t] = list
	return list
}

// rule appends the matches of one rule: each kind of peers with each kind of ports. side is that of the peers in a packet.
func (c *compiler) rule(list []string, p *policy, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, side string) []string {
	for _, port := range c.ports(ports) {
		if len(peers) == 0 {
			list = append(list, port)
		}
		for _, peer := range c.peersOf(p, peers, side) {
			list = append(list, strings.TrimSpace(port+" "+peer))
		}
	}
	return list
}

// peersOf returns a match for each selector of pods, and one for all ranges of addresses.
func (c *compiler) peersOf(p *policy, peers []networkingv1.NetworkPolicyPeer, side string) (list []string) {
	for i := range peers {
		if peers[i].IPBlock != nil {
			continue
		}
		set, dns := c.pods(p.Namespace, peers[i].NamespaceSelector, peers[i].PodSelector)
		list = append(list, matchSet(set, side))
		if dns && side == "dst" {
			list = append(list, matchSet(c.dnsSet(), "dst,dst"))
		}
	}
	blocks := blocksOf(peers)
	switch {
	case len(blocks) > netfilter.MaxMembers:
		c.refuse(p, fmt.Sprintf("a rule's ipBlocks are %d ranges without what they except, and can be %d", len(blocks), netfilter.MaxMembers))
		return nil
	case len(blocks) > 0:
		set := &netfilter.Set{Type: netfilter.Networks, Members: map[netfilter.Member]struct{}{}}
		name := "blocks"
		slices.SortFunc(blocks, netip.Prefix.Compare)
		for _, b := range blocks {
			set.Members[netfilter.Member{Prefix: b}] = struct{}{}
			name += " " + b.String()
		}
		name = hashed(setPrefix, name)
		c.out.Sets[name] = set
		list = append(list, matchSet(name, side))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// pods returns the set of the pods that selectors select, and whether they select the cluster's DNS, too.
func (c *compiler) pods(namespace string, namespaces, pods *metav1.LabelSelector) (set string, dns bool) {
	everywhere, all := selector(namespaces), pods == nil
	selected := selector(pods)
	of, which := "of "+namespace, selected.String()
	if namespaces != nil {
		of = "in " + everywhere.String()
		if _, selectable := everywhere.Requirements(); !selectable {
			of = "in none"
		}
	}
	if all {
		which = ""
	} else if _, selectable := selected.Requirements(); !selectable {
		which = "none"
	}
	set = hashed(setPrefix, "pods", of, which)
	if dns, done := c.selectors[set]; done {
		return set, dns
	}
	members := map[netfilter.Member]struct{}{}
	for _, ns := range c.selected(namespace, namespaces, everywhere) {
		for _, pod := range c.peers[ns] {
			if all || selected.Matches(pod.labels) {
				members[pod.member()] = struct{}{}
			}
		}
		dns = dns || ns == metav1.NamespaceSystem && len(c.dns) > 0 && (all || selected.Matches(dnsLabels))
	}
	c.out.Sets[set] = &netfilter.Set{Type: netfilter.Addresses, Members: members}
	c.selectors[set] = dns
	return set, dns
}

// selected returns the names of the namespaces that a peer selects: the policy's own without a selector.
func (c *compiler) selected(own string, given *metav1.LabelSelector, parsed labels.Selector) (names []string) {
	if given == nil {
		return []string{own}
	}
	for _, ns := range c.namespaces {
		if parsed.Matches(labels.Set(ns.Labels)) {
			names = append(names, ns.Name)
		}
	}
	return names
}

// dnsSet returns the set of the addresses at which the cluster's DNS answers.
func (c *compiler) dnsSet() string {
	set := hashed(setPrefix, "dns")
	if c.out.Sets[set] == nil {
		members := map[netfilter.Member]struct{}{}
		for _, at := range c.dns {
			for _, protocol := range dnsPorts {
				members[netfilter.Member{Prefix: netip.PrefixFrom(at.Addr(), 32), Protocol: protocol, Port: at.Port()}] = struct{}{}
			}
		}
		c.out.Sets[set] = &netfilter.Set{Type: netfilter.AddressPorts, Members: members}
	}
	return set
}
