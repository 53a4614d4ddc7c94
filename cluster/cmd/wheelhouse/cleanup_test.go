//go:build !quick

package main_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/network"
)

// A machine that stops being a node has none of its bridge, routes and packet rules; those of
// others stay.
func TestNodeCleanup(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("cleanup-%d", os.Getpid())
	inside := func(line string) string {
		t.Helper()
		out, err := exec.Command("ip", "netns", "exec", name, "sh", "-ec", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return string(out)
	}
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", name).Run() }) // the test is over
	inside("ip link set lo up && iptables -A INPUT -s 192.0.2.1 -j DROP")
	ns := must[netns.NsHandle](t)(netns.GetFromName(name))
	defer func() { _ = ns.Close() }()
	n := must[*network.Network](t)(network.New(network.Config{
		PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16"),
	}))
	if err := network.Do(ns, func() error { return n.Setup(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	const look = "ip link show cbr0 || true; ip route; iptables-save | grep -v '^#'"
	if before := inside(look); !strings.Contains(before, "WHEELHOUSE-MASQ") || !strings.Contains(before, "10.246.1.1") && !strings.Contains(before, "10.246.1.0/24") {
		t.Fatalf("the node has made nothing:\n%s", before)
	}
	inside(binary + " node --cleanup --cluster " + name + " --state-dir " + t.TempDir() + " --name n --address 127.0.0.1 --pod-cidr 10.246.1.0/24 2>&1")
	after := inside(look)
	for _, gone := range []string{"WHEELHOUSE", "KUBE", "10.246.", "mtu"} {
		if strings.Contains(after, gone) {
			t.Errorf("%s is left:\n%s", gone, after)
		}
	}
	if !strings.Contains(after, "-A INPUT -s 192.0.2.1/32 -j DROP") {
		t.Errorf("a rule of the machine is gone:\n%s", after)
	}
}
