package netpol

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/netfilter"
)

// portsInRule is how many ports the kernel's match of several ports takes; a range counts twice.
const portsInRule = 15

// protocolOf returns the protocol of a port, 0 for SCTP: nothing serves it here, and kernels without its module would refuse all rules.
func protocolOf(p *v1.Protocol) (name string, number uint8) {
	switch {
	case p == nil || *p == v1.ProtocolTCP:
		return "tcp", unix.IPPROTO_TCP
	case *p == v1.ProtocolUDP:
		return "udp", unix.IPPROTO_UDP
	}
	return "", 0
}

// ports returns the matches of a rule's ports: one that is empty where there are none, as all are admitted.
func (c *compiler) ports(ports []networkingv1.NetworkPolicyPort) (list []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	numbers := map[string][]string{} // by protocol
	for i := range ports {
		name, number := protocolOf(ports[i].Protocol)
		switch port := ports[i].Port; {
		case number == 0:
		case port == nil:
			list = append(list, "-p "+name)
		case port.Type == intstr.String:
			list = append(list, matchSet(c.named(port.StrVal, name, number), "dst,dst"))
		case ports[i].EndPort != nil && *ports[i].EndPort > port.IntVal:
			numbers[name] = append(numbers[name], strconv.Itoa(port.IntValue())+":"+strconv.Itoa(int(*ports[i].EndPort)))
		default:
			numbers[name] = append(numbers[name], strconv.Itoa(port.IntValue()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		list = append(list, multiport(name, numbers[name])...)
	}
	return list
}

// multiport returns matches of any number of ports and ranges.
func multiport(protocol string, ports []string) (list []string) {
	var of []string
	free := portsInRule
	end := func() {
		list = append(list, "-p "+protocol+" -m multiport --dports "+strings.Join(of, ","))
		of, free = nil, portsInRule
	}
	for _, p := range ports {
		size := 1 + strings.Count(p, ":")
		if size > free {
			end()
		}
		of, free = append(of, p), free-size
	}
	end()
	return list
}

// named returns the set of the addresses and ports of pods that have a port of the name.
func (c *compiler) named(port, protocol string, number uint8) string {
	set := hashed(setPrefix, "port", port, protocol)
	if c.out.Sets[set] != nil {
		return set
	}
	members := map[netfilter.Member]struct{}{}
	for _, of := range c.peers {
		for _, pod := range of {
			for _, p := range pod.ports {
				if p.Name == port && strings.EqualFold(string(cmp.Or(p.Protocol, v1.ProtocolTCP)), protocol) {
					members[netfilter.Member{Prefix: netip.PrefixFrom(pod.ip, 32), Protocol: number, Port: uint16(p.ContainerPort)}] = struct{}{}
				}
			}
		}
	}
	for _, at := range c.dns {
		if dnsPorts[port] == number {
			members[netfilter.Member{Prefix: netip.PrefixFrom(at.Addr(), 32), Protocol: number, Port: at.Port()}] = struct{}{}
		}
	}
	c.out.Sets[set] = &netfilter.Set{Type: netfilter.AddressPorts, Members: members}
	return set
}
