package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// queued bounds the frames that wait; the kernel drops the rest.
const queued = 64

// link is the interface that has the node's address, with the sockets on it.
type link struct {
	iface  net.Interface
	own    mac
	arp    *packet.Conn
	ndp    *packet.Conn         // nil until there is an IPv6 address
	groups map[netip.Addr]group // solicited-node groups, by the address that they are for
	frames chan []byte
}

// group is a membership by which solicitations for an address reach this machine: a socket
// without a port, which receives nothing.
type group int

// findLink returns the interface that has the address and is connected.
func findLink(at netip.Addr) (net.Interface, error) {
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return net.Interface{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addresses {
		if ip, ok := netip.AddrFromSlice(a.IP); !ok || ip.Unmap() != at {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			return net.Interface{}, err
		}
		attrs := l.Attrs()
		if len(attrs.HardwareAddr) != len(mac{}) {
			return net.Interface{}, fmt.Errorf("interface %s of %s has no Ethernet address", attrs.Name, at)
		}
		if attrs.RawFlags&unix.IFF_RUNNING == 0 { // up, and with a carrier
			return net.Interface{}, fmt.Errorf("interface %s is not connected", attrs.Name)
		}
		return net.Interface{Index: attrs.Index, MTU: attrs.MTU, Name: attrs.Name, HardwareAddr: attrs.HardwareAddr, Flags: attrs.Flags}, nil
	}
	return net.Interface{}, fmt.Errorf("no interface has the node's address %s", at)
}

func openLink(ctx context.Context, iface net.Interface) (*link, error) {
	conn, err := packet.Listen(&iface, packet.Raw, etherARP, nil)
	if err != nil {
		return nil, fmt.Errorf("listen for ARP on %s: %w", iface.Name, err)
	}
	l := &link{iface: iface, own: mac(iface.HardwareAddr), arp: conn, groups: map[netip.Addr]group{}, frames: make(chan []byte, queued)}
	go l.read(ctx, conn)
	return l, nil
}

// read passes on what is asked and announced until the socket is closed. It waits while the
// queue is full, so that a flood costs no memory.
func (l *link) read(ctx context.Context, conn *packet.Conn) {
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // the interface is down: its socket returns one error for each time
		}
		select {
		case l.frames <- append([]byte(nil), buf[:n]...):
		case <-ctx.Done():
			return
		}
	}
}

// follow joins the groups of the IPv6 addresses, and leaves those of others.
func (l *link) follow(ctx context.Context, addresses map[netip.Addr]*claim) error {
	var errs []error
	for ip := range addresses {
		if _, in := l.groups[ip]; !in && !ip.Is4() {
			errs = append(errs, l.join(ctx, ip))
		}
	}
	for ip, g := range l.groups {
		if addresses[ip] == nil {
			delete(l.groups, ip)
			errs = append(errs, unix.Close(int(g)))
		}
	}
	return errors.Join(errs...)
}

func (l *link) join(ctx context.Context, ip netip.Addr) error {
	if l.ndp == nil {
		filter, err := bpf.Assemble(neighbourDiscovery)
		if err != nil {
			return err
		}
		conn, err := packet.Listen(&l.iface, packet.Raw, etherIPv6, &packet.Config{Filter: filter})
		if err != nil {
			return fmt.Errorf("listen for neighbour discovery on %s: %w", l.iface.Name, err)
		}
		l.ndp = conn
		go l.read(ctx, conn)
	}
	socket, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("join the group of %s: %w", ip, err)
	}
	request := &unix.IPv6Mreq{Multiaddr: solicitedNode(ip).As16(), Interface: uint32(l.iface.Index)}
	if err := unix.SetsockoptIPv6Mreq(socket, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, request); err != nil {
		return errors.Join(fmt.Errorf("join the group of %s on %s: %w", ip, l.iface.Name, err), unix.Close(socket))
	}
	l.groups[ip] = group(socket)
	return nil
}

// neighbourDiscovery is the kernel's filter: solicitations and advertisements.
var neighbourDiscovery = []bpf.Instruction{
	bpf.LoadAbsolute{Off: etherLen + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMPv6, SkipTrue: 4},
	bpf.LoadAbsolute{Off: etherLen + ipv6Len, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: solicitation, SkipTrue: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: advertisement, SkipTrue: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// solicitedNode is the group in which an address is asked for (RFC 4291).
func solicitedNode(ip netip.Addr) netip.Addr {
	raw, group := ip.As16(), netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], raw[13:])
	return netip.AddrFrom16(group)
}

// send writes one frame, which goes to the receiver in its header.
func (l *link) send(frame []byte, is4 bool) error {
	conn := l.arp
	if !is4 {
		conn = l.ndp
	}
	if conn == nil {
		return nil
	}
	_, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	return err
}

func (l *link) close() {
	_ = l.arp.Close()
	if l.ndp != nil {
		_ = l.ndp.Close()
	}
	for _, g := range l.groups {
		_ = unix.Close(int(g))
	}
}
