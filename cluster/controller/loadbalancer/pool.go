package loadbalancer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Pool is a set of addresses for load balancers. The zero Pool has none. Make it with ParsePool.
type Pool struct {
	spans []span
}

// span is a range of addresses of one family, both ends included.
type span struct {
	first, last netip.Addr
	whole       bool // given as a CIDR, so that .0 and .255 are left out
}

// ParsePool reads CIDRs (192.168.1.240/28) and ranges (192.168.1.200-192.168.1.220), IPv4 and
// IPv6. Of an IPv4 CIDR the addresses that end in .0 and .255 are left out, which old machines
// take for networks and broadcasts; a range is taken as it stands. The order is kept: the first
// free address of the first element is given away first.
func ParsePool(list []string) (Pool, error) {
	var p Pool
	for _, text := range list {
		s, err := parseSpan(strings.TrimSpace(text))
		if err != nil {
			return Pool{}, err
		}
		for _, other := range p.spans {
			if s.overlaps(other.first, other.last) {
				return Pool{}, fmt.Errorf("%s and %s overlap", other, s)
			}
		}
		p.spans = append(p.spans, s)
	}
	return p, nil
}

func parseSpan(text string) (span, error) {
	wrong := fmt.Errorf("%q: want a CIDR such as 192.168.1.240/28, or a range such as 192.168.1.200-192.168.1.220", text)
	if from, to, isRange := strings.Cut(text, "-"); isRange {
		first, err1 := netip.ParseAddr(strings.TrimSpace(from))
		last, err2 := netip.ParseAddr(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || first.Is4() != last.Is4() || first.Zone()+last.Zone() != "" || last.Less(first) {
			return span{}, wrong
		}
		return span{first: first, last: last}.usable()
	}
	cidr, err := netip.ParsePrefix(text)
	if err != nil {
		return span{}, wrong
	}
	cidr = cidr.Masked()
	return span{first: cidr.Addr(), last: lastOf(cidr), whole: cidr.Addr().Is4() && cidr.Bits() < 31}.usable()
}

// usable refuses addresses that no other machine can reach.
func (s span) usable() (span, error) {
	for _, a := range []netip.Addr{s.first, s.last} {
		if a.Is4In6() || !a.IsGlobalUnicast() {
			return span{}, fmt.Errorf("%s: %s is of a special range, which no load balancer can have", s, a)
		}
	}
	return s, nil
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

func (s span) String() string { return s.first.String() + "-" + s.last.String() }

func (s span) contains(a netip.Addr) bool {
	if a.Is4() != s.first.Is4() || a.Less(s.first) || s.last.Less(a) {
		return false
	}
	if !s.whole {
		return true
	}
	end := a.As4()[3]
	return end != 0 && end != 255
}

func (s span) overlaps(first, last netip.Addr) bool {
	return s.first.Is4() == first.Is4() && !s.last.Less(first) && !last.Less(s.first)
}

// Empty reports whether the pool has no address.
func (p Pool) Empty() bool { return len(p.spans) == 0 }

// String lists the pool's elements as ranges.
func (p Pool) String() string {
	texts := make([]string, 0, len(p.spans))
	for _, s := range p.spans {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, ", ")
}

// Contains reports whether the pool may give the address away.
func (p Pool) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(p.spans, func(s span) bool { return s.contains(a) })
}

// Overlaps reports whether the pool has addresses of a network.
func (p Pool) Overlaps(network netip.Prefix) bool {
	network = network.Masked()
	return slices.ContainsFunc(p.spans, func(s span) bool { return s.overlaps(network.Addr(), lastOf(network)) })
}

// Within reports whether all addresses of the pool are of a network.
func (p Pool) Within(network netip.Prefix) bool {
	return !slices.ContainsFunc(p.spans, func(s span) bool { return !network.Contains(s.first) || !network.Contains(s.last) })
}

// Has reports whether the pool has addresses of the family: IPv4, else IPv6.
func (p Pool) Has(is4 bool) bool {
	return slices.ContainsFunc(p.spans, func(s span) bool { return s.first.Is4() == is4 })
}

// Free returns the first address of the family that is not taken. It looks at no more addresses
// than are taken or left out, and one.
func (p Pool) Free(is4 bool, taken func(netip.Addr) bool) (netip.Addr, bool) {
	for _, s := range p.spans {
		if s.first.Is4() != is4 {
			continue
		}
		for a := s.first; ; a = a.Next() {
			if s.contains(a) && !taken(a) {
				return a, true
			}
			if a == s.last {
				break
			}
		}
	}
	return netip.Addr{}, false
}
