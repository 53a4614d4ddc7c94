package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The VXLAN between nodes. The port is the one that Linux and Flannel use; the identifier is
// our own, so that both can be on one machine.
const (
	vxlanLink     = "cvxlan0"
	vxlanID       = 87
	vxlanPort     = 8472
	vxlanOverhead = 50 // IPv4, UDP and VXLAN headers, and the Ethernet header inside
)

// setupVXLAN makes the interface, which sends from the node's address, and returns its index and
// whether it was missing. Packets add no entries: all are ours.
func setupVXLAN(self netip.Prefix, node netip.Addr, mtu int) (index int, added bool, err error) {
	l, err := netlink.LinkByName(vxlanLink)
	if err == nil && !isOurVXLAN(l, self, node) { // the node had another address
		if err := ignoreGone(netlink.LinkDel(l)); err != nil {
			return 0, false, err
		}
		l, err = netlink.LinkByName(vxlanLink)
	}
	if isGone(err) {
		added = true
		v := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: vxlanLink, MTU: mtu, HardwareAddr: macOf(vtepOf(self))},
			VxlanId:   vxlanID, Port: vxlanPort, SrcAddr: node.AsSlice(), Learning: false,
		}
		if err := netlink.LinkAdd(v); errors.Is(err, unix.EOPNOTSUPP) {
			return 0, false, fmt.Errorf("%w: load the kernel module vxlan, or choose --pod-network routes where all nodes are on one link", err)
		} else if err != nil {
			return 0, false, err
		}
		l, err = netlink.LinkByName(vxlanLink)
	}
	if err != nil {
		return 0, false, err
	}
	changed, err := setupTunnel(l, self, mtu)
	return l.Attrs().Index, added || changed, err
}

func isOurVXLAN(l netlink.Link, self netip.Prefix, node netip.Addr) bool {
	v, ok := l.(*netlink.Vxlan)
	return ok && v.VxlanId == vxlanID && v.Port == vxlanPort && v.SrcAddr.String() == node.String() && bytes.Equal(v.HardwareAddr, macOf(vtepOf(self)))
}

// setupTunnel gives an interface to other nodes its address and MTU, and reports whether
// something was missing. The node's own connections to pods of others come from that address.
func setupTunnel(l netlink.Link, self netip.Prefix, mtu int) (changed bool, err error) {
	name := l.Attrs().Name
	// A node's packet with its machine's address comes through the tunnel, although packets to
	// that address do not go there.
	if err := sysctl("net/ipv4/conf/"+name+"/rp_filter", "2"); err != nil {
		return false, err
	}
	if l.Attrs().MTU != mtu {
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			return false, fmt.Errorf("MTU %d: %w", mtu, err)
		}
	}
	have, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return false, err
	}
	want := host(vtepOf(self))
	if len(have) != 1 || have[0].IPNet.String() != want.String() {
		changed = true
		for _, a := range have {
			if err := netlink.AddrDel(l, &a); err != nil {
				return false, err
			}
		}
		if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: want}); err != nil {
			return false, fmt.Errorf("address %s: %w", want, err)
		}
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		changed = true
		return changed, netlink.LinkSetUp(l)
	}
	return changed, nil
}

// replaceVTEPs makes want the whole of the interface's entries: the neighbour entry of each
// node's address in VXLAN, and the machine to which its hardware address leads. It returns how
// many were missing.
func replaceVTEPs(index int, want map[netip.Addr]netip.Addr) (added int, err error) {
	neighbours, machines := map[string]*netlink.Neigh{}, map[string]*netlink.Neigh{}
	for vtep, machine := range want {
		mac := macOf(vtep)
		neighbours[vtep.String()+" "+mac.String()] = neighbour(index, vtep)
		machines[machine.String()+" "+mac.String()] = &netlink.Neigh{
			LinkIndex: index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF, IP: machine.AsSlice(), HardwareAddr: mac,
		}
	}
	more, err := replaceEntries(index, unix.AF_BRIDGE, machines)
	added, err2 := replaceEntries(index, netlink.FAMILY_V4, neighbours)
	return added + more, errors.Join(err, err2)
}

// replaceEntries makes want, by address and hardware address, the whole of an interface's entries of a family.
func replaceEntries(index, family int, want map[string]*netlink.Neigh) (added int, err error) {
	have, err := netlink.NeighList(index, family)
	if err != nil {
		return 0, fmt.Errorf("listing entries of %s: %w", vxlanLink, err)
	}
	var errs []error
	present := map[string]bool{}
	for _, e := range have {
		name := e.IP.String() + " " + e.HardwareAddr.String()
		if want[name] != nil && e.State&netlink.NUD_PERMANENT != 0 {
			present[name] = true
			continue
		}
		if e.State&netlink.NUD_PERMANENT == 0 && family != unix.AF_BRIDGE {
			continue // the kernel's own, such as that of a multicast address
		}
		if err := netlink.NeighDel(&e); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("removing the entry %s: %w", name, err))
		}
	}
	for name, e := range want {
		if present[name] {
			continue
		}
		if err := netlink.NeighSet(e); err != nil {
			errs = append(errs, fmt.Errorf("entry %s: %w", name, err))
		}
		added++
	}
	return added, errors.Join(errs...)
}
