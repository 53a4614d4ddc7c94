package proxy

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"wheelhouse/cluster/netfilter"
)

// flusher deletes the UDP flows whose destination the rules have changed. TCP connections to
// a deleted pod fail on their own; UDP flows would continue to it. Of TCP, what no endpoint has
// answered is deleted by compiler.retryConnections.
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
		s.own[toAddr(a.IP)] = true
	}
	if err := netfilter.DeleteUDPFlows(s.matches); err != nil {
		return err
	}
	f.last = want
	return nil
}

type stale struct {
	frontends map[Frontend][]netip.AddrPort
	own       map[netip.Addr]bool
}

// matches reports whether the flow goes to a service's address but not to one of its present
// endpoints (nor, since before there was one, to any).
func (s stale) matches(flow *netlink.ConntrackFlow) bool {
	to := Frontend{toAddr(flow.Forward.DstIP), flow.Forward.DstPort}
	backends, ok := s.frontends[to]
	if !ok && s.own[to.Addr] {
		backends, ok = s.frontends[Frontend{Port: to.Port}]
	}
	return ok && !slices.Contains(backends, netip.AddrPortFrom(toAddr(flow.Reverse.SrcIP), flow.Reverse.SrcPort))
}

// retryConnections lets connections that no endpoint has answered go through the rules again, if theirs is none any more
// since the last call that succeeded. It must be called after the rules are in place.
func (c *compiler) retryConnections() error {
	if len(c.departed) == 0 {
		return nil
	}
	err := netfilter.DeleteUnansweredConnections(func(flow *netlink.ConntrackFlow) bool {
		return c.departed[netip.AddrPortFrom(toAddr(flow.Reverse.SrcIP), flow.Reverse.SrcPort)]
	})
	if err == nil {
		c.departed = nil
	}
	return err
}

// depart notes the endpoints that a service has had, and does not have any more.
func (c *compiler) depart(had, has []netip.AddrPort) {
	for _, addr := range had {
		if !slices.Contains(has, addr) {
			c.departed = with(c.departed, addr)
		}
	}
}

func toAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
