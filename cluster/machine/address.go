package machine

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// localAddress returns the machine's address on the way to another, as the kernel's routes
// have it. For the zero Addr it is that of the default route, or, where there is none, as in
// a class without internet, the only address of the machine. Nothing is sent.
func localAddress(to netip.Addr) (netip.Addr, error) {
	target := to
	if !to.IsValid() {
		target = netip.MustParseAddr("192.0.2.1") // of no machine (RFC 5737)
	}
	conn, err := net.Dial("udp4", net.JoinHostPort(target.String(), "9"))
	if err == nil {
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
	}
	if to.IsValid() {
		return netip.Addr{}, fmt.Errorf("no way to %s from this machine: %w", to, err)
	}
	links, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	var found []netip.Addr
	for _, link := range links {
		if link.Flags&(net.FlagUp|net.FlagLoopback) != net.FlagUp || notTheMachines(link.Name) {
			continue
		}
		addresses, err := link.Addrs()
		if err != nil {
			return netip.Addr{}, err
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				found = append(found, p.Addr())
			}
		}
	}
	return only(found)
}

// notTheMachines reports whether an interface is Docker's, or of this program's pods.
func notTheMachines(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "cbr"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func only(found []netip.Addr) (netip.Addr, error) {
	switch len(found) {
	case 0:
		return netip.Addr{}, errors.New("this machine has no address: connect it to the network first")
	case 1:
		return found[0], nil
	}
	return netip.Addr{}, fmt.Errorf("this machine has the addresses %v: choose one with --address", found)
}
