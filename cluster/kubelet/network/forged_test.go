//go:build !quick

package network_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
)

// A pod that adds the address of another machine to its interface sends nothing with it.
func TestForgedSource(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	outside := nettest.Machine(t, "outside", netip.MustParsePrefix("192.168.77.2/24"))
	pid, ns, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	var server net.PacketConn
	err = network.Do(outside, func() (err error) {
		server, err = net.ListenPacket("udp4", "192.168.77.2:9999")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	err = network.Do(ns, func() error {
		if out, err := exec.Command("ip", "addr", "add", "203.0.113.7/32", "dev", "lo").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, from := range []string{"203.0.113.7", ip.String()} {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.IPv4(192, 168, 77, 2), Port: 9999})
			if err != nil {
				return err
			}
			if _, err := conn.Write([]byte(from)); err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if got, _, err := server.ReadFrom(buf); err != nil || string(buf[:got]) != ip.String() {
		t.Errorf("the machine outside got a packet of %q, %v; want only that of %s", buf[:got], err, ip)
	}
}

// A pod that announces the addresses of others gets none of their packets.
func TestForgedNeighbour(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	outside := nettest.Machine(t, "outside", netip.MustParsePrefix("192.168.77.2/24"))
	nettest.ServeHTTP(t, outside, ":8080", "outside")
	namespaces, ips := map[string]netns.NsHandle{}, map[string]netip.Addr{}
	for _, name := range []string{"thief", "b", "c"} {
		pid, ns, _ := nettest.Process(t)
		ip, err := n.Attach(t.Context(), name, pid, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		nettest.ServeHTTP(t, ns, ":8080", name)
		namespaces[name], ips[name] = ns, ip
	}
	works := func(when string) {
		t.Helper()
		for _, c := range []struct {
			from     netns.NsHandle
			to, want string
		}{
			{namespaces["b"], "192.168.77.2", "outside 192.168.77.1"},
			{namespaces["b"], ips["c"].String(), "c " + ips["b"].String()},
			{nettest.Own(t), ips["b"].String(), "b 10.246.1.1"},
			{namespaces["c"], ips["b"].String(), "b " + ips["c"].String()},
		} {
			if got, err := nettest.Get(c.from, c.to+":8080", time.Second); err != nil || got != c.want {
				t.Errorf("%s: %s answers %q, %v; want %q", when, c.to, got, err, c.want)
			}
		}
	}
	works("before")
	mac := func(ip netip.Addr) []byte { b := ip.As4(); return []byte{2, 0x42, b[0], b[1], b[2], b[3]} }
	err := network.Do(namespaces["thief"], func() error {
		for _, of := range []netip.Addr{netip.MustParseAddr("10.246.1.1"), ips["b"], ips["c"]} {
			if err := sendFrame(announcement(mac(of), of)); err != nil { // with their hardware address
				return err
			}
			if err := sendFrame(announcement(mac(ips["thief"]), of)); err != nil { // with its own
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	works("after the thief's announcements")
}

// A pod does not become the node's IPv6 router (CVE-2020-10749).
func TestRouterAdvertisement(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pid, ns, _ := nettest.Process(t)
	if _, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	nettest.ServeUDP(t, nettest.Own(t), ":9999", "here")
	if err := network.Do(ns, func() error { return sendFrame(advertisement()) }); err != nil {
		t.Fatal(err)
	}
	// What was sent before this is answered has been looked at.
	if got, err := nettest.Ask(nettest.DialUDP(t, ns, "10.246.1.1:9999"), time.Second); err != nil || got != "here" {
		t.Fatalf("%q, %v", got, err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if strings.HasPrefix(r.Gw.String(), "fe80::dead") {
			t.Errorf("the node sends to a pod what is for %v", r.Dst)
		}
	}
}

// announcement is a gratuitous ARP of the address at the hardware address.
func announcement(mac []byte, ip netip.Addr) []byte {
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	frame = append(frame, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2)
	for range 2 { // sender and target
		frame = append(append(frame, mac...), ip.AsSlice()...)
	}
	return frame
}

// advertisement is that of a router fe80::dead for half an hour, to all nodes.
func advertisement() []byte {
	src, dst := net.ParseIP("fe80::dead"), net.ParseIP("ff02::1")
	icmp := make([]byte, 16)
	icmp[0], icmp[4] = 134, 64
	binary.BigEndian.PutUint16(icmp[6:], 1800)
	sum := uint32(len(icmp)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{src, dst, icmp} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum+sum>>16))
	header := []byte{0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255}
	frame := append([]byte{0x33, 0x33, 0, 0, 0, 1, 2, 0x42, 1, 2, 3, 4, 0x86, 0xdd}, header...)
	return append(append(append(frame, src...), dst...), icmp...)
}

func sendFrame(frame []byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: eth0.Index})
}
