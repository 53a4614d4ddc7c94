package netpol

import (
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
)

// subtract appends to to the prefixes that p has without those of but. Each of but has at most as many prefixes as
// an address has bits.
func subtract(to []netip.Prefix, p netip.Prefix, but []netip.Prefix) []netip.Prefix {
	var inside []netip.Prefix
	for _, b := range but {
		if b.Bits() <= p.Bits() && b.Contains(p.Addr()) {
			return to
		}
		if p.Overlaps(b) {
			inside = append(inside, b)
		}
	}
	if len(inside) == 0 && p.Bits() > 0 { // a set of networks cannot have all addresses as one
		return append(to, p)
	}
	lower, upper := halves(p)
	return subtract(subtract(to, lower, inside), upper, inside)
}

// halves returns the two prefixes of which p, of more than one address, consists.
func halves(p netip.Prefix) (lower, upper netip.Prefix) {
	bits := p.Bits() + 1
	addr := p.Addr().As4()
	lower = netip.PrefixFrom(netip.AddrFrom4(addr), bits)
	addr[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	return lower, netip.PrefixFrom(netip.AddrFrom4(addr), bits)
}

// blocksOf returns the IPv4 prefixes of a rule's ipBlocks without what they except. Pods have no IPv6 addresses.
func blocksOf(peers []networkingv1.NetworkPolicyPeer) (all []netip.Prefix) {
	for _, peer := range peers {
		if peer.IPBlock == nil {
			continue
		}
		whole, ok := ipv4Prefix(peer.IPBlock.CIDR)
		if !ok {
			continue
		}
		var but []netip.Prefix
		for _, text := range peer.IPBlock.Except {
			if part, ok := ipv4Prefix(text); ok {
				but = append(but, part)
			}
		}
		all = subtract(all, whole, but)
	}
	return all
}

// ipv4Prefix reads a range. Policies that are older than today's rules can have leading zeros and bits beyond the
// prefix, which the API server keeps: zeros are not read here, and the range selects nothing.
func ipv4Prefix(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return p, false
	}
	return p.Masked(), true
}
