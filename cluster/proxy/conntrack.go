package proxy

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// flusher forgets the kernel's UDP flows that the rules no longer lead where they
// lead. TCP connections end by themselves; a UDP client that keeps its port would
// be sent to a pod that is gone for as long as it keeps asking.
type flusher struct {
	last map[Frontend][]netip.AddrPort
}

// flush must be called after the rules are in place.
func (f *flusher) flush(want map[Frontend][]netip.AddrPort) error {
	same := f.last != nil && maps.EqualFunc(f.last, want, slices.Equal[[]netip.AddrPort])
	if same || len(want) == 0 && len(f.last) == 0 {
		f.last = want
		return nil
	}
	check := maps.Clone(want)
	for front := range f.last {
		if _, ok := want[front]; !ok {
			check[front] = nil
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("own addresses: %w", err)
	}
	s := stale{frontends: check, own: map[netip.Addr]bool{}}
	for _, a := range addrs {
		s.own[addr(a.IP)] = true
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, s); err != nil {
		return fmt.Errorf("flushing UDP flows: %w", err)
	}
	f.last = want
	return nil
}

type stale struct {
	frontends map[Frontend][]netip.AddrPort
	own       map[netip.Addr]bool
}

// MatchConntrackFlow tells whether the flow goes to a service's address but not to
// one of its present endpoints (also: not to any endpoint, from before there was one).
func (s stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	to := Frontend{addr(flow.Forward.DstIP), flow.Forward.DstPort}
	backends, ok := s.frontends[to]
	if !ok && s.own[to.Addr] {
		backends, ok = s.frontends[Frontend{Port: to.Port}]
	}
	return ok && !slices.Contains(backends, netip.AddrPortFrom(addr(flow.Reverse.SrcIP), flow.Reverse.SrcPort))
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
