//go:build !quick

package netpol

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/wait"
)

// answers returns the names of those that answer a datagram to port 80 of an address within silence.
func (p *party) answers(t *testing.T, to string) (names []string) {
	t.Helper()
	var c net.PacketConn
	err := network.Do(p.ns, func() (err error) {
		c, err = net.ListenPacket("udp4", ":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.WriteTo([]byte("who"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), 80))); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 100); ; {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return names
		}
		names = append(names, string(buf[:n]))
	}
}

// What a pod sends to all reaches no pod that is isolated.
func TestBroadcast(t *testing.T) {
	l := newLab(t)
	l.apply(t, nil)
	all := []string{"255.255.255.255", "10.246.1.255"}
	for _, to := range all {
		wait.For(t, "answers to "+to, func() error {
			got := l.party("y/a").answers(t, to)
			return wait.Seen(slices.Contains(got, "x/a") && slices.Contains(got, "x/b"), got)
		})
	}
	l.apply(t, policies(t, "x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}"))
	for _, to := range all {
		if got := l.party("y/a").answers(t, to); slices.Contains(got, "x/a") {
			t.Errorf("%s: the isolated pod answers: %v", to, got)
		}
	}
}
