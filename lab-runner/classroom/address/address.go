// Package address returns what the requests of a client are counted by. Whoever counts keeps the counts.
package address

import "net/netip"

// Of returns the prefix of a client's address and port: an IPv4 address, or the /64 of an IPv6 address, of which one machine has all.
// All machines of a link share its local network: there it is the whole address. It is the zero Prefix for what is no address and
// port.
func Of(remote string) netip.Prefix {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := from.Addr().Unmap().WithZone("")
	p := netip.PrefixFrom(addr, addr.BitLen())
	if addr.IsLinkLocalUnicast() {
		return p
	}
	return Network(p)
}

// Network returns the /64 of an IPv6 address, and an IPv4 address as it is.
func Network(p netip.Prefix) netip.Prefix {
	if addr := p.Addr(); addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked()
	}
	return p
}
