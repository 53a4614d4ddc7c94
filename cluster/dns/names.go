package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// addresses returns the A or AAAA records, according to qtype.
func addresses(name string, qtype uint16, ips []netip.Addr) (rrs []dns.RR) {
	for _, ip := range ips {
		switch {
		case ip.Is4() && (qtype == dns.TypeA || qtype == dns.TypeANY):
			rrs = append(rrs, &dns.A{Hdr: header(name, dns.TypeA), A: ip.AsSlice()})
		case ip.Is6() && (qtype == dns.TypeAAAA || qtype == dns.TypeANY):
			rrs = append(rrs, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
	}
	return rrs
}

// dashed returns an address as a label: 10-246-1-2.
func dashed(ip netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(ip.String())
}

func undash(label string) (netip.Addr, bool) {
	sep := "."
	if strings.Count(label, "-") != 3 || strings.Contains(label, "--") {
		sep = ":"
	}
	ip, err := netip.ParseAddr(strings.ReplaceAll(label, "-", sep))
	return ip, err == nil
}

// reversed returns the address of a name below in-addr.arpa or ip6.arpa.
func reversed(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		parts := strings.Split(rest, ".")
		slices.Reverse(parts)
		ip, err := netip.ParseAddr(strings.Join(parts, "."))
		return ip, err == nil && ip.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa.")
	nibbles := strings.Split(rest, ".")
	if !ok || len(nibbles) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(nibbles)
	var text strings.Builder
	for i, n := range nibbles {
		if i > 0 && i%4 == 0 {
			text.WriteByte(':')
		}
		text.WriteString(n)
	}
	ip, err := netip.ParseAddr(text.String())
	return ip, err == nil
}

// isReverse reports whether a name is below in-addr.arpa or ip6.arpa.
func isReverse(name string) bool {
	return dns.IsSubDomain("in-addr.arpa.", name) || dns.IsSubDomain("ip6.arpa.", name)
}
