//go:build !quick

package network_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/network/nettest"
)

// A host port leads to its pod from other machines, from the node (its loopback
// included), from other pods and from the pod itself, and no other port does.
func TestHostPorts(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	outside := nettest.Machine(t, "outside", netip.MustParsePrefix("192.168.77.2/24")) // the node is .1
	pid, ns, _ := nettest.Process(t)
	other, otherNS, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-web", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Attach(t.Context(), "uid-other", other, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":80", "web")
	nettest.ServeUDP(t, ns, ":53", "pong")
	ports := []v1.ContainerPort{
		{ContainerPort: 80, HostPort: 8080, Protocol: v1.ProtocolTCP},
		{ContainerPort: 80, HostPort: 8081, HostIP: "127.0.0.1"},
		{ContainerPort: 53, HostPort: 5353, Protocol: v1.ProtocolUDP},
	}
	for range 2 { // opening again is what a restarted kubelet does
		if refused, err := n.OpenPorts(t.Context(), "uid-web", ip, ports); err != nil || len(refused) > 0 {
			t.Fatal(refused, err)
		}
	}
	own := nettest.Own(t)
	for name, c := range map[string]struct {
		from netns.NsHandle
		to   string
		open bool
	}{
		"from outside":                      {outside, "192.168.77.1:8080", true},
		"from the node":                     {own, "192.168.77.1:8080", true},
		"from the node's loopback":          {own, "127.0.0.1:8080", true},
		"from another pod":                  {otherNS, "192.168.77.1:8080", true},
		"from the pod itself":               {ns, "192.168.77.1:8080", true},
		"a port of the loopback alone":      {own, "127.0.0.1:8081", true},
		"a port of the loopback, elsewhere": {outside, "192.168.77.1:8081", false},
		"a port that is no host port":       {outside, "192.168.77.1:80", false},
	} {
		got, err := nettest.Get(c.from, c.to, time.Second)
		if ok := err == nil && strings.HasPrefix(got, "web "); ok != c.open {
			t.Errorf("%s: %s answers %q, %v; want an answer: %v", name, c.to, got, err, c.open)
		}
	}
	if got, err := nettest.Get(outside, "192.168.77.1:8080", time.Second); err != nil || got != "web 192.168.77.2" {
		t.Errorf("the pod sees the client as %q, %v", got, err)
	}
	if got, err := nettest.Ask(nettest.DialUDP(t, outside, "192.168.77.1:5353"), time.Second); got != "pong" {
		t.Errorf("UDP: %q, %v", got, err)
	}

	// Flushed rules are restored.
	if out, err := exec.Command("iptables", "-t", "nat", "-F").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := n.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := nettest.Get(outside, "192.168.77.1:8080", time.Second); err != nil {
		t.Errorf("after a flush: %q, %v", got, err)
	}

	for range 2 {
		if err := n.ClosePorts(t.Context(), "uid-web"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := nettest.Get(outside, "192.168.77.1:8080", 200*time.Millisecond); err == nil {
		t.Errorf("a closed port answers %q", got)
	}
	out, err := exec.Command("iptables-save", "-t", "nat").CombinedOutput()
	if err != nil || strings.Contains(string(out), "uid-web") || strings.Contains(string(out), "WHEELHOUSE-HP") {
		t.Errorf("left behind: %v\n%s", err, out)
	}
}

// A port that the node itself has stays the node's; the pod's other ports are opened, and
// that one as soon as the node has closed it.
func TestHostPortOfTheNode(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	outside := nettest.Machine(t, "outside", netip.MustParsePrefix("192.168.77.2/24"))
	pid, ns, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-web", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":80", "web")
	nettest.ServeUDP(t, ns, ":53", "web")
	own := nettest.Own(t)
	api, private := nettest.Serve(t, own, "192.168.77.1:443", "api"), nettest.Serve(t, own, "127.0.0.1:2379", "etcd")
	t.Cleanup(func() { private() })
	nettest.ServeUDP(t, own, "0.0.0.0:53", "dns")
	ports := []v1.ContainerPort{
		{ContainerPort: 80, HostPort: 443},
		{ContainerPort: 80, HostPort: 2379},
		{ContainerPort: 80, HostPort: 8080},
		{ContainerPort: 53, HostPort: 53, Protocol: v1.ProtocolUDP},
		{ContainerPort: 80, HostPort: 443, HostIP: "127.0.0.1"}, // free there
	}
	refused, err := n.OpenPorts(t.Context(), "uid-web", ip, ports)
	if err != nil || len(refused) != 3 {
		t.Errorf("refused %v, %v; want 443, 2379 and 53", refused, err)
	}
	for _, c := range []struct {
		from     netns.NsHandle
		to, want string
	}{
		{outside, "192.168.77.1:443", "api "},
		{own, "192.168.77.1:443", "api "},
		{ns, "192.168.77.1:443", "api "},
		{own, "127.0.0.1:2379", "etcd "},
		{own, "127.0.0.1:443", "web "},
		{outside, "192.168.77.1:8080", "web "},
	} {
		if got, err := nettest.Get(c.from, c.to, time.Second); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s answers %q, %v; want %s", c.to, got, err, c.want)
		}
	}
	if got, err := nettest.Ask(nettest.DialUDP(t, outside, "192.168.77.1:53"), time.Second); got != "dns" {
		t.Errorf("UDP: %q, %v", got, err)
	}
	api()
	if err := n.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := nettest.Get(outside, "192.168.77.1:443", time.Second); err != nil || !strings.HasPrefix(got, "web ") {
		t.Errorf("a port that the node no longer has answers %q, %v", got, err)
	}
}

// TestHostPortOfIPv6: the nodes have no IPv6, so that the port stays closed. The pod's other
// ports open, and the repair goes on to other pods.
func TestHostPortOfIPv6(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pid, ns, _ := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-web", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":80", "web")
	refused, err := n.OpenPorts(t.Context(), "uid-web", ip, []v1.ContainerPort{
		{ContainerPort: 80, HostPort: 8080, HostIP: "fd00::1"}, {ContainerPort: 80, HostPort: 8081},
	})
	if err != nil || len(refused) != 1 || refused[0].HostPort != 8080 {
		t.Fatalf("refused %v, %v", refused, err)
	}
	if got, err := nettest.Get(nettest.Own(t), "127.0.0.1:8081", time.Second); err != nil || !strings.HasPrefix(got, "web ") {
		t.Errorf("the other port: %q, %v", got, err)
	}
}
