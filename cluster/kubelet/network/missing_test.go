//go:build !quick

package network_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

// What another program removes of a pod's connection is missing, and Attach makes it again,
// with the same address.
func TestMissingOfAPod(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pid, ns, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":8080", "a")
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	eth0 := func() netlink.Link {
		t.Helper()
		l, err := inside.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	outer := func() netlink.Link {
		t.Helper()
		links, err := netlink.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if strings.HasPrefix(l.Attrs().Alias, "uid-a ") {
				return l
			}
		}
		t.Fatal("the pod has no interface on the node")
		return nil
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	for _, damage := range []struct {
		what string
		do   func() error
	}{
		{"its interface on the node", func() error { return netlink.LinkDel(outer()) }},
		{"its interface on the node", func() error { return inside.LinkDel(eth0()) }},
		{"its port on the bridge", func() error { return netlink.LinkSetNoMaster(outer()) }},
		{"the state up of its interface on the node", func() error { return netlink.LinkSetDown(outer()) }},
		{"the settings of its port on the bridge", func() error { return netlink.LinkSetHairpin(outer(), false) }},
		{"its neighbour entry on the node", func() error {
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: outer().Attrs().MasterIndex, Family: netlink.FAMILY_V4, IP: ip.AsSlice()})
		}},
		{"the state up of its interface", func() error { return inside.LinkSetDown(eth0()) }},
		{"its address", func() error { return inside.AddrDel(eth0(), address) }},
		{"its route to 0.0.0.0/0", func() error {
			return inside.RouteDel(&netlink.Route{LinkIndex: eth0().Attrs().Index, Gw: n.Gateway().AsSlice()})
		}},
		{"its route to 0.0.0.0/0", func() error { // it leads elsewhere
			return inside.RouteReplace(&netlink.Route{LinkIndex: eth0().Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Scope: netlink.SCOPE_LINK})
		}},
		{"the state up of its loopback", func() error {
			lo, err := inside.LinkByName("lo")
			if err != nil {
				return err
			}
			return inside.LinkSetDown(lo)
		}},
		{"its neighbour entry for the node", func() error {
			return inside.NeighDel(&netlink.Neigh{LinkIndex: eth0().Attrs().Index, Family: netlink.FAMILY_V4, IP: n.Gateway().AsSlice()})
		}},
	} {
		if what, err := n.Missing(t.Context(), "uid-a", pid, ip); what != "" || err != nil {
			t.Fatalf("before %s is removed %q is missing, %v", damage.what, what, err)
		}
		if err := damage.do(); err != nil {
			t.Fatalf("%s: %v", damage.what, err)
		}
		if what, err := n.Missing(t.Context(), "uid-a", pid, ip); what != damage.what || err != nil {
			t.Errorf("%q is missing, %v; want %q", what, err, damage.what)
		}
		if again, err := n.Attach(t.Context(), "uid-a", pid, ip); err != nil || again != ip {
			t.Errorf("%s: %s, %v", damage.what, again, err)
		}
		if got, err := nettest.Get(nettest.Own(t), ip.String()+":8080", time.Second); err != nil {
			t.Errorf("%s: the pod does not answer: %q, %v", damage.what, got, err)
		}
	}
}

// The number of a pod's process may be that of one of the machine by now: nothing of the node is changed for it.
func TestMissingOfAnotherProcess(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pid, _, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "in the network namespace of the node"
	if what, err := n.Missing(t.Context(), "uid-a", os.Getpid(), ip); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("missing %q, %v; want %q", what, err, want)
	}
	if _, err := n.Attach(t.Context(), "uid-a", os.Getpid(), ip); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("attach: %v, want %q", err, want)
	}
	if what, err := n.Missing(t.Context(), "uid-a", pid, ip); err != nil || what != "" {
		t.Errorf("the pod's own connection has changed: %q %v", what, err)
	}
}

// What another program removes of the node's network comes back within ten seconds.
func TestNodeIsRepaired(t *testing.T) {
	repaired := make(chan string, 10)
	n, err := network.New(network.Config{
		PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16"),
		Repaired: func(what string) { repaired <- what },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Cleanup() })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	pid, ns, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-web", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":80", "web")
	if refused, err := n.OpenPorts(t.Context(), "uid-web", ip, []v1.ContainerPort{{ContainerPort: 80, HostPort: 8080}}); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	for _, damage := range []struct{ want, command string }{
		{"packet rules of host ports", "iptables -t nat -F $(iptables -t nat -S | grep -o -m 1 'WHEELHOUSE-HP-[0-9A-F]*')"},
		{"packet rules of host ports", "iptables -t nat -F WHEELHOUSE-HOSTMASQ"},
		{"packet rules of host ports", "iptables -t nat -D WHEELHOUSE-HOSTMASQ -s 127.0.0.0/8 -o cbr0 -j MASQUERADE"},
		{"packet rules of host ports", "iptables -t nat -F WHEELHOUSE-HOSTPORTS"},
		{"packet rules of host ports", "iptables -t nat -F OUTPUT"},
		{"the kernel parameter net.ipv4.conf.cbr0.route_localnet", "echo 0 >/proc/sys/net/ipv4/conf/cbr0/route_localnet"},
		{"the kernel parameter net.ipv4.conf.cbr0.send_redirects", "echo 1 >/proc/sys/net/ipv4/conf/cbr0/send_redirects"},
		{"packet rules", "iptables -t nat -D POSTROUTING -j WHEELHOUSE-MASQ"},
		{"packet rules", "iptables -F WHEELHOUSE-FORWARD"},
		{"the bridge", "ip link del cbr0"},
		{"the address", "ip addr flush dev cbr0"},
	} {
		if out, err := exec.Command("sh", "-c", damage.command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", damage.command, err, out)
		}
		wait.Within(t, 10*time.Second, "a repair after "+damage.command, func() error {
			select {
			case got := <-repaired:
				if !strings.HasPrefix(got, damage.want) {
					t.Errorf("after %s: repaired %q", damage.command, got)
				}
				return nil
			default:
				return wait.Seen(false, "none")
			}
		})
		if damage.want == "the address" || damage.want == "the bridge" {
			if _, err := n.Attach(t.Context(), "uid-web", pid, ip); err != nil { // as the pod's own look does
				t.Fatal(err)
			}
		}
		if got, err := nettest.Get(nettest.Own(t), "127.0.0.1:8080", time.Second); err != nil || !strings.HasPrefix(got, "web") {
			t.Errorf("after %s the host port answers %q on the loopback, %v", damage.command, got, err)
		}
	}
	if got, err := nettest.Get(ns, ip.String()+":80", time.Second); err != nil {
		t.Errorf("the pod answers itself %q, %v", got, err)
	}
	if out, err := exec.Command("iptables", "-t", "nat", "-C", "POSTROUTING", "-j", "WHEELHOUSE-MASQ").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
