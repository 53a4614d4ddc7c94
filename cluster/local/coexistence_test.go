//go:build !quick

package local_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/local"
	"wheelhouse/cluster/osthread"
)

// found is what doctor says by one name.
func found(t *testing.T, cfg local.Config, name string) local.Check {
	t.Helper()
	list, err := local.Doctor(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(c local.Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %q", name)
	}
	return list[i]
}

// What else can be on a machine is named, with the flag that avoids it, and is no longer when it is gone.
func TestDoctorNamesOthers(t *testing.T) {
	cfg := local.Config{Name: "none", StateDir: filepath.Join(t.TempDir(), "state")}
	sh(t, "echo 1 > /proc/sys/net/ipv4/ip_forward")
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "firewall-cmd"), []byte("#!/bin/sh\n[ -e "+bin+"/running ]\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+bin)
	nettest.Machine(t, "wlan", netip.MustParsePrefix("192.0.2.2/24"))
	for _, c := range []struct {
		what, check, do, undo string
		result                string
		says, remedy          string
	}{
		{"Docker's policy", "forwarding", "iptables -P FORWARD DROP", "iptables -P FORWARD ACCEPT", local.OK, "policy DROP", ""},
		{"a last rule", "forwarding", "iptables -A FORWARD -j REJECT --reject-with icmp-host-prohibited", "iptables -F FORWARD", local.Warn, "icmp-host-prohibited", "--isolated"},
		{"ufw that rejects", "forwarding", "iptables -N ufw-reject-forward; iptables -A ufw-reject-forward -j REJECT", "iptables -F ufw-reject-forward; iptables -X ufw-reject-forward", local.Warn, "ufw-reject-forward", "--isolated"},
		{"no forwarding", "forwarding", "echo 0 > /proc/sys/net/ipv4/ip_forward", "echo 1 > /proc/sys/net/ipv4/ip_forward", local.Warn, "ip_forward is 0", "--isolated"},
		{"ufw", "firewalls", "iptables -N ufw-before-forward", "iptables -X ufw-before-forward", local.Warn, "ufw is active", "--isolated"},
		{"firewalld", "firewalls", "touch " + bin + "/running", "rm " + bin + "/running", local.Warn, "firewalld is active", "--isolated"},
		{"firewalld with iptables", "firewalls", "iptables -N FORWARD_IN_ZONES", "iptables -X FORWARD_IN_ZONES", local.Warn, "firewalld is active", "--isolated"},
		{"a VPN", "other routes", "ip route add 10.0.0.0/8 dev wlan", "ip route del 10.0.0.0/8 dev wlan", local.Warn, "10.0.0.0/8", "--networks"},
		{"a VPN's own table", "other routes", "ip route add 10.246.7.0/24 dev wlan table 52", "ip route del 10.246.7.0/24 dev wlan table 52", local.Warn, "table 52", "--networks"},
		{"a tunnel for all", "other routes", "ip route add 0.0.0.0/1 dev wlan; ip route add 128.0.0.0/1 dev wlan", "ip route del 0.0.0.0/1 dev wlan; ip route del 128.0.0.0/1 dev wlan", local.OK, "none overlaps", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := found(t, cfg, c.check)
			if before.Result != local.OK {
				t.Fatalf("before: %+v", before)
			}
			sh(t, c.do)
			got := found(t, cfg, c.check)
			sh(t, c.undo)
			if got.Result != c.result || !strings.Contains(got.Found, c.says) || !strings.Contains(got.Remedy, c.remedy) {
				t.Errorf("%+v", got)
			}
			if after := found(t, cfg, c.check); after != before {
				t.Errorf("afterwards: %+v, before: %+v", after, before)
			}
		})
	}
}

// Both programs' rules are in the kernel at once.
func TestDoctorNamesMixedRules(t *testing.T) {
	cfg := local.Config{Name: "none", StateDir: filepath.Join(t.TempDir(), "state")}
	osthread.Apart(func() { // a namespace keeps the tables of iptables-legacy
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		sh(t, "iptables-nft -A FORWARD -d 192.0.2.9 -j DROP")
		if got := found(t, cfg, "rule sets"); got.Result != local.OK {
			t.Errorf("one of both: %+v", got)
		}
		sh(t, "iptables-legacy -A FORWARD -d 192.0.2.9 -j DROP")
		if got := found(t, cfg, "rule sets"); got.Result != local.Warn || !strings.Contains(got.Remedy, "--isolated") {
			t.Errorf("both: %+v", got)
		}
	})
}

// A cluster that runs: rules that another program has removed, and a wireless network whose gateway has an address of the
// cluster, are named; a new cluster keeps clear of that gateway, or takes the networks it is given.
func TestDoctorOfACluster(t *testing.T) {
	sh(t, "echo 1 > /proc/sys/net/ipv4/ip_forward")
	cfg := config(t, "seen")
	cfg.Nodes = 0
	up(t, cfg)
	for _, name := range []string{"forwarding", "addresses", "other routes"} {
		if got := found(t, cfg, name); got.Result != local.OK {
			t.Errorf("%s: %+v", name, got)
		}
	}
	sh(t, "iptables -t mangle -F")
	if got := found(t, cfg, "forwarding"); got.Result != local.Warn || !strings.Contains(got.Remedy, "wheelhouse up") {
		t.Errorf("without the rules: %+v", got)
	}
	up(t, cfg)
	if got := found(t, cfg, "forwarding"); got.Result != local.OK {
		t.Errorf("with the rules again: %+v", got)
	}
	down(t, cfg)
	nettest.Machine(t, "wlan", netip.MustParsePrefix("192.0.2.2/24"))
	sh(t, "ip addr add 10.17.4.9/8 dev wlan; ip route add default via 10.246.9.1 dev wlan")
	up(t, cfg)
	s, err := local.Status(cfg)
	if err != nil || s.Subnets.Pods.Contains(netip.MustParseAddr("10.246.9.1")) {
		t.Errorf("the pods of a new cluster have the gateway's address: %+v, %v", s, err)
	}
	sh(t, "ip route replace default via "+s.Subnets.Pods.Addr().Next().String()+" dev wlan onlink")
	if got := found(t, cfg, "addresses"); got.Result != local.Fail || !strings.Contains(got.Remedy, "--networks") {
		t.Errorf("the gateway is among the pods: %+v", got)
	}
	down(t, cfg)
	given, err := local.ParseSubnets([]string{"172.29.1.0/24", "172.30.0.0/16", "172.31.0.0/16"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Subnets = &given
	up(t, cfg)
	if s, err := local.Status(cfg); err != nil || s.Subnets != given {
		t.Errorf("%+v, %v", s, err)
	}
	for _, wrong := range [][]string{nil, {"172.29.1.0/24", "172.30.0.0/16"}, {"172.29.1.0/24", "172.30.0.0/16", "172.30.1.0/24"}, {"fd00::/64", "172.30.0.0/16", "172.31.0.0/16"}} {
		if got, err := local.ParseSubnets(wrong); err == nil {
			t.Errorf("%q: %v", wrong, got)
		}
	}
}
