package network

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Missing returns the first part of a pod's connection that is not as Attach has made it, empty
// if there is none: another program may have removed it. Attach makes it again.
func (n *Network) Missing(_ context.Context, pod string, pid int, ip netip.Addr) (string, error) {
	n.mu.Lock()
	bridge := n.bridge
	n.mu.Unlock()
	ns, err := namespaceOf(pid)
	if err != nil {
		return "", err
	}
	defer func() { _ = ns.Close() }()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return "", err
	}
	defer inside.Close()
	return n.missing(inside, pod, ip, bridge)
}

// aliasOf is the alias of the node's end of a pod's connection, once that is complete.
func aliasOf(pod string, ip netip.Addr) string { return pod + " " + ip.String() }

func (n *Network) missing(inside *netlink.Handle, pod string, ip netip.Addr, bridge int) (string, error) {
	outer, err := netlink.LinkByName(linkName(pod))
	if isGone(err) {
		return "its interface on the node", nil
	}
	if err != nil {
		return "", err
	}
	switch a := outer.Attrs(); {
	case a.Alias != aliasOf(pod, ip):
		return "the alias of its interface on the node", nil
	case a.MasterIndex != bridge:
		return "its port on the bridge", nil
	case a.Flags&net.FlagUp == 0:
		return "the state up of its interface on the node", nil
	}
	if port, err := netlink.LinkGetProtinfo(outer); err != nil {
		return "", err
	} else if !port.Hairpin || port.Learning {
		return "the settings of its port on the bridge", nil
	}
	have, err := netlink.NeighList(bridge, netlink.FAMILY_V4)
	if err != nil {
		return "", err
	}
	if !hasNeighbour(have, ip) {
		return "its neighbour entry on the node", nil
	}
	return n.missingInside(inside, ip)
}

// missingInside looks at the pod's end.
func (n *Network) missingInside(inside *netlink.Handle, ip netip.Addr) (string, error) {
	l, err := inside.LinkByName(containerLink)
	if isGone(err) {
		return "its interface", nil
	}
	if err != nil {
		return "", err
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		return "the state up of its interface", nil
	}
	if lo, err := inside.LinkByName("lo"); err != nil || lo.Attrs().Flags&net.FlagUp == 0 {
		return "the state up of its loopback", err
	}
	addrs, err := inside.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return ip.String() == a.IP.String() }) {
		return "its address", nil
	}
	routes, err := inside.RouteList(l, netlink.FAMILY_V4)
	if err != nil {
		return "", err
	}
	gw := n.Gateway()
	for _, want := range []netlink.Route{{Dst: host(gw)}, {Dst: defaultRoute, Gw: gw.AsSlice()}} {
		if !slices.ContainsFunc(routes, func(r netlink.Route) bool {
			return r.Dst != nil && r.Dst.String() == want.Dst.String() && r.Gw.Equal(want.Gw)
		}) {
			return "its route to " + want.Dst.String(), nil
		}
	}
	have, err := inside.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return "", err
	}
	if !hasNeighbour(have, gw) {
		return "its neighbour entry for the node", nil
	}
	return "", nil
}

// hasNeighbour reports whether the permanent entry for an address is there.
func hasNeighbour(list []netlink.Neigh, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(e netlink.Neigh) bool {
		return e.IP.String() == ip.String() && e.State&netlink.NUD_PERMANENT != 0 && bytes.Equal(e.HardwareAddr, macOf(ip))
	})
}

// missingOfNode returns the first part of what Setup has made that is not there any more.
func (n *Network) missingOfNode() (string, error) {
	l, err := netlink.LinkByName(Bridge)
	if isGone(err) || err == nil && l.Attrs().Index != n.bridge {
		return "the bridge " + Bridge, nil
	}
	if err != nil {
		return "", err
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return "", err
	}
	switch {
	case l.Attrs().Flags&net.FlagUp == 0:
		return "the state up of the bridge " + Bridge, nil
	case !slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.String() == n.Gateway().String() }):
		return "the address of the bridge " + Bridge, nil
	}
	for _, p := range append(n.bridgeParameters(), parameter{name: "net/ipv4/ip_forward", value: "1"}, parameter{name: bridged, value: "1"}) {
		if ok, err := p.holds(); err != nil || !ok {
			return "the kernel parameter " + strings.ReplaceAll(p.name, "/", "."), err
		}
	}
	if n.rules == nil || !n.rules.Holds() {
		return "packet rules of the pod network", nil
	}
	if len(n.open) > 0 {
		var err error
		if !n.opened.Holds(func() bool {
			var intact bool
			intact, err = n.portsIntact()
			return intact && err == nil
		}) {
			return "packet rules of host ports", err
		}
	}
	return "", nil
}
