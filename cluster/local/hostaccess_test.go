//go:build !quick

package local_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
)

// What listens on the machine is not reached from a node, at any address of the machine,
// unless somebody says so; nodes are reached from the machine.
func TestHostIsNotReached(t *testing.T) {
	cfg := config(t, "gate")
	cfg.Nodes = 1
	up(t, cfg)
	own := nettest.Own(t)
	sh(t, "ip addr add 198.51.100.1/32 dev lo")
	t.Cleanup(func() { sh(t, "ip addr del 198.51.100.1/32 dev lo") })
	nettest.ServeHTTP(t, own, ":9080", "machine")
	nettest.ServeUDP(t, own, "10.245.1.1:9053", "machine")
	nettest.ServeUDP(t, own, "198.51.100.1:9053", "machine")
	serve6(t, own, "[::]:9086")
	node, err := netns.GetFromPath("/run/netns/wh-" + cfg.Name + "-minion-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	nettest.ServeHTTP(t, node, ":80", "node")
	nettest.ServeUDP(t, node, ":53", "node")
	// A node's administrator can find the way to all addresses of the machine.
	if out, code := run(t, cfg, "minion-1", "ip route add 198.51.100.1/32 via 10.245.1.1"); code != 0 {
		t.Fatal(out)
	}

	expect := func(open bool) {
		t.Helper()
		for _, ip := range []string{"10.245.1.1", "198.51.100.1"} {
			if got, err := nettest.Get(node, ip+":9080", time.Second/2); (err == nil) != open {
				t.Errorf("TCP to %s: %q, %v; want an answer: %v", ip, got, err, open)
			}
			if got, err := nettest.Ask(nettest.DialUDP(t, node, ip+":9053"), time.Second/2); (err == nil) != open {
				t.Errorf("UDP to %s: %q, %v; want an answer: %v", ip, got, err, open)
			}
		}
		for _, ip := range linkLocal(t, "10.245.1.1/24") {
			var c net.Conn
			err := network.Do(node, func() (err error) {
				c, err = net.DialTimeout("tcp6", "["+ip+"%eth0]:9086", time.Second/2)
				return err
			})
			if err == nil {
				_ = c.Close()
				t.Errorf("%s is reached", ip)
			}
		}
		if got, err := nettest.Get(own, "10.245.1.3:80", 2*time.Second); err != nil || got != "node 10.245.1.1" {
			t.Errorf("the node from the machine: %q, %v", got, err)
		}
		if got, err := nettest.Ask(nettest.DialUDP(t, own, "10.245.1.3:53"), 2*time.Second); err != nil || got != "node" {
			t.Errorf("the node from the machine, UDP: %q, %v", got, err)
		}
	}
	expect(false)
	allowed := cfg
	allowed.AllowHostAccess = true
	up(t, allowed)
	expect(true)
	// As an earlier program has left it: the machine is on the nodes' bridge.
	sh(t, fmt.Sprintf("ip -n wh-%s-lan link set host master br0", cfg.Name))
	up(t, cfg)
	expect(false)
}

// linkLocal are the IPv6 addresses of the interface that has an address of version 4.
func linkLocal(t *testing.T, v4 string) (ips []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		addrs, err := l.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(addrs, func(a net.Addr) bool { return a.String() == v4 }) {
			continue
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() == nil {
				ips = append(ips, ip.IP.String())
			}
		}
		return ips
	}
	t.Fatalf("no interface has %s", v4)
	return nil
}

func serve6(t *testing.T, ns netns.NsHandle, at string) {
	t.Helper()
	var l net.Listener
	err := network.Do(ns, func() (err error) {
		l, err = net.Listen("tcp6", at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
}
