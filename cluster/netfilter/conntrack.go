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
