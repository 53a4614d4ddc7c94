//go:build !quick

package local_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/local"
	"wheelhouse/cluster/osthread"
)

// outsideWorld is a machine that the test's own reaches, at 203.0.113.2 and at the address of
// clouds' metadata. The test's own machine forwards, with the rules that Docker makes.
func outsideWorld(t *testing.T) netns.NsHandle {
	t.Helper()
	world := nettest.Machine(t, "isp", netip.MustParsePrefix("203.0.113.2/24"))
	sh(t, `echo 1 > /proc/sys/net/ipv4/ip_forward; ip route add default via 203.0.113.2
		iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -d 203.0.113.3 -j DROP; iptables -A FORWARD -j DOCKER-USER`)
	t.Cleanup(func() {
		sh(t, `ip route del default via 203.0.113.2; iptables -P FORWARD ACCEPT; iptables -F FORWARD; iptables -F DOCKER-USER; iptables -X DOCKER-USER`)
	})
	within(t, world, "ip addr add 169.254.169.254/32 dev lo; ip addr add 203.0.113.3/24 dev eth0; iptables -t raw -A PREROUTING -i eth0 -p tcp")
	nettest.ServeHTTP(t, world, "0.0.0.0:80", "outside")
	nettest.ServeUDP(t, world, "203.0.113.2:53", "outside")
	return world
}

// within runs a command in a namespace.
func within(t *testing.T, ns netns.NsHandle, command string) (out string) {
	t.Helper()
	osthread.Apart(func() {
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		out = sh(t, command)
	})
	return out
}

// arrived counts the packets of TCP that have come to the outside.
func arrived(t *testing.T, world netns.NsHandle) string {
	t.Helper()
	return strings.Fields(within(t, world, "iptables -t raw -L PREROUTING -nvx | tail -1"))[0]
}

func nodeNS(t *testing.T, cfg local.Config) netns.NsHandle {
	t.Helper()
	ns, err := netns.GetFromPath("/run/netns/wh-" + cfg.Name + "-minion-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

const refusedWithin = time.Second / 2

// Two clusters reach what the machine reaches, under its address, where the policy is DROP; neither the
// machine itself, nor the metadata of its cloud, nor each other, nor what the machine's owner
// refuses. What is isolated reaches nothing, and leaves no rule.
func TestOutside(t *testing.T) {
	world := outsideWorld(t)
	before := traces(t, config(t, "none"))
	one, two := config(t, "out1"), config(t, "out2")
	one.Nodes, two.Nodes = 1, 1
	two.StateDir = one.StateDir
	up(t, one)
	up(t, two)
	own := nettest.Own(t)
	nettest.ServeHTTP(t, own, ":9080", "machine")
	nettest.ServeUDP(t, own, "0.0.0.0:9053", "machine")
	nodes := map[string]netns.NsHandle{"10.245.1.3": nodeNS(t, one), "10.242.1.3": nodeNS(t, two)}
	for _, ns := range nodes {
		nettest.ServeHTTP(t, ns, ":80", "node")
	}
	for at, ns := range nodes {
		// The machine has to ask for the way back: nothing of an earlier question is left.
		sh(t, "ip neigh flush all")
		if got, err := nettest.Get(ns, "203.0.113.2:80", time.Minute); err != nil || got != "outside 203.0.113.1" {
			t.Errorf("%s to the outside: %q, %v", at, got, err)
		}
		sh(t, "ip neigh flush all")
		if got, err := nettest.Ask(nettest.DialUDP(t, ns, "203.0.113.2:53"), 10*time.Second); err != nil || got != "outside" {
			t.Errorf("%s to the outside, UDP: %q, %v", at, got, err)
		}
		for _, no := range []string{"203.0.113.1:9080", "10.245.1.1:9080", "10.242.1.1:9080", "10.245.1.252:9080", "10.242.1.252:9080", "127.0.0.1:9080", "169.254.169.254:80", "203.0.113.3:80"} {
			if got, err := nettest.Get(ns, no, refusedWithin); err == nil {
				t.Errorf("%s reaches %s: %s", at, no, got)
			}
		}
		if got, err := nettest.Ask(nettest.DialUDP(t, ns, "203.0.113.1:9053"), refusedWithin); err == nil {
			t.Errorf("%s reaches the machine by UDP: %s", at, got)
		}
		for other := range nodes {
			if other == at {
				continue
			}
			if got, err := nettest.Get(ns, other+":80", refusedWithin); err == nil {
				t.Errorf("%s reaches the other cluster: %s", at, got)
			}
		}
	}
	// Addresses of pods that do not exist are not looked for outside.
	heard := arrived(t, world)
	if _, err := nettest.Get(nodes["10.245.1.3"], "10.246.77.1:80", time.Minute); err == nil || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("a pod that does not exist: %v", err)
	}
	yes, no := true, false
	closed, open := one, one
	closed.Isolated, open.Isolated = &yes, &no
	up(t, closed)
	closed.Isolated = nil
	up(t, closed) // it stays
	for _, at := range []string{"203.0.113.2:80", "203.0.113.1:9080", "169.254.169.254:80", "192.0.2.1:80"} {
		if _, err := nettest.Get(nodes["10.245.1.3"], at, time.Minute); err == nil || !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("%s from an isolated cluster: %v", at, err)
		}
	}
	// Not even by a route that a node's administrator finds.
	for _, gw := range []string{"10.245.1.1", "10.245.1.253"} {
		if out, code := run(t, one, "minion-1", "ip route replace default via "+gw); code != 0 {
			t.Fatal(out)
		}
		if got, err := nettest.Get(nodes["10.245.1.3"], "203.0.113.2:80", refusedWithin); err == nil {
			t.Errorf("by way of %s: %s", gw, got)
		}
	}
	if now := arrived(t, world); now != heard {
		t.Errorf("packets outside: %s, then %s", heard, now)
	}
	if rules := sh(t, "iptables-save"); strings.Contains(rules, "wheelhouse:"+one.Name) || !strings.Contains(rules, "wheelhouse:"+two.Name) {
		t.Errorf("rules with one cluster isolated:\n%s", rules)
	}
	open.AllowHostAccess = true
	up(t, open)
	for _, at := range []string{"203.0.113.2:80", "203.0.113.1:9080", "169.254.169.254:80"} {
		if got, err := nettest.Get(nodes["10.245.1.3"], at, time.Minute); err != nil {
			t.Errorf("%s with access to the host: %q, %v", at, got, err)
		}
	}
	down(t, one)
	if got, err := nettest.Get(nodes["10.242.1.3"], "203.0.113.2:80", time.Minute); err != nil {
		t.Errorf("after the other cluster's end: %q, %v", got, err)
	}
	down(t, two)
	if after := traces(t, two); after != before {
		t.Errorf("left: %s\nbefore: %s", after, before)
	}
}

// What a crash, or a rule set that was saved and restored, has left of a cluster is removed by the
// next up of that or of another, and by down without a record. Rules of others stay.
func TestOutsideAfterCrash(t *testing.T) {
	world := outsideWorld(t)
	sh(t, "iptables -A FORWARD -m comment --comment wheelhouse -d 192.0.2.9 -j DROP")
	before := traces(t, config(t, "none"))
	one, two := config(t, "crash1"), config(t, "crash2")
	one.Nodes, two.Nodes = 1, 1
	up(t, one)
	rules := func(cfg local.Config) int {
		return strings.Count(sh(t, "iptables-save"), "wheelhouse:"+cfg.Name)
	}
	made := rules(one)
	if made == 0 {
		t.Fatal("no rules")
	}
	up(t, one)
	if n := rules(one); n != made {
		t.Errorf("%d rules, after a second up %d", made, n)
	}
	// The machine's side of the pair is gone.
	sh(t, fmt.Sprintf("ip -n wh-%s-lan link del out0", one.Name))
	up(t, two)
	if n := rules(one); n != 0 {
		t.Errorf("%d rules without an interface", n)
	}
	up(t, one)
	if got, err := nettest.Get(nodeNS(t, one), "203.0.113.2:80", time.Minute); err != nil {
		t.Errorf("repaired: %q, %v, %s packets arrived", got, err, arrived(t, world))
	}
	if err := os.Remove(one.StateDir + "/" + one.Name + "/cluster.json"); err != nil {
		t.Fatal(err)
	}
	if err := local.Down(context.Background(), one, t.Output()); err != nil {
		t.Error(err)
	}
	down(t, two)
	if after := traces(t, two); after != before {
		t.Errorf("left: %s\nbefore: %s", after, before)
	}
}

// Where the owner has switched forwarding off, it stays off, and up says what that means.
func TestForwardingIsTheOwners(t *testing.T) {
	sh(t, "echo 0 > /proc/sys/net/ipv4/ip_forward")
	cfg := config(t, "off")
	cfg.Nodes = 1
	if out := up(t, cfg); !strings.Contains(out, "net.ipv4.ip_forward") {
		t.Errorf("not said: %s", out)
	}
	if on := sh(t, "cat /proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(on) != "0" {
		t.Errorf("ip_forward is %s", on)
	}
}
