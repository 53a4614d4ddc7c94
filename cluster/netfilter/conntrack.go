package netfilter

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DeleteUDPFlows deletes the conntrack entries of IPv4 UDP flows that match. Rules apply to
// the first packet of a flow only: a UDP client that keeps its port is otherwise sent to
// the former destination for as long as it sends.
func DeleteUDPFlows(match UDPFlows) error {
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, match); err != nil {
		return fmt.Errorf("delete UDP flows: %w", err)
	}
	return nil
}

// UDPFlows selects UDP flows; it is not called for others.
type UDPFlows func(*netlink.ConntrackFlow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f UDPFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return flow.Forward.Protocol == unix.IPPROTO_UDP && f(flow)
}

// DeleteUnansweredConnections deletes the conntrack entries of IPv4 TCP connections that match and whose first packet has
// not been answered. A client that takes the same port again within two minutes is otherwise sent to the former
// destination, and extends the entry by that. A connection that is still being opened goes through the rules again.
func DeleteUnansweredConnections(match UnansweredConnections) error {
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, match); err != nil {
		return fmt.Errorf("delete unanswered TCP connections: %w", err)
	}
	return nil
}

// UnansweredConnections selects TCP connections in the state SYN_SENT; it is not called for others.
type UnansweredConnections func(*netlink.ConntrackFlow) bool

// synSent is TCP_CONNTRACK_SYN_SENT of the kernel (nf_conntrack_tcp.h).
const synSent = 1

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f UnansweredConnections) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	tcp, ok := flow.ProtoInfo.(*netlink.ProtoInfoTCP)
	return ok && tcp.State == synSent && f(flow)
}
