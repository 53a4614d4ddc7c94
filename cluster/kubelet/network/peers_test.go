package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func nodeWith(name, cidr string, age int, annotations map[string]string, addrs ...string) *v1.Node {
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations, CreationTimestamp: metav1.NewTime(began.Add(-time.Duration(age) * time.Hour))},
		Spec:       v1.NodeSpec{PodCIDR: cidr},
	}
	n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: name})
	for _, a := range addrs {
		n.Status.Addresses = append(n.Status.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: a})
	}
	return n
}

// at places 10.245.1.0/24 on the link, 10.245.9.0/24 nowhere, and all else beyond.
func at(a netip.Addr) position {
	switch {
	case a == netip.MustParseAddr("10.245.1.2"):
		return own
	case netip.MustParsePrefix("10.245.1.0/24").Contains(a):
		return onLink
	case netip.MustParsePrefix("10.245.9.0/24").Contains(a):
		return unknown
	}
	return beyond
}

func TestPlanOfRoutes(t *testing.T) {
	nodes := []*v1.Node{
		nodeWith("self", "10.246.0.0/24", 9, nil, "10.245.1.2"),
		nodeWith("other", "10.246.1.0/24", 8, nil, "fd00::1", "10.245.1.3"),
		nodeWith("no-address", "10.246.2.0/24", 7, nil),
		nodeWith("no-cidr", "", 6, nil, "10.245.1.5"),
		nodeWith("far", "10.246.3.0/24", 5, nil, "10.245.2.6"),
		nodeWith("lost", "10.246.4.0/24", 4, nil, "10.245.9.7"),
		nodeWith("thief", "10.246.3.0/24", 3, nil, "10.245.1.66"),
		nodeWith("copy", "10.246.0.128/25", 2, nil, "10.245.1.67"),
		nodeWith("twin", "10.246.5.0/24", 1, nil, "10.245.1.2"),
		nodeWith("tunnels", "10.246.6.0/24", 1, map[string]string{ModeAnnotation: "vxlan"}, "10.245.1.8"),
	}
	self := netip.MustParsePrefix("10.246.0.0/24")
	got := planFor(Auto, self, peersOf(nodes, "self"), at, plan{})
	if s, want := fmt.Sprint(sorted(got.routes)), "[10.246.1.0/24 10.245.1.3  10.246.3.0/24 10.246.3.0 cvxlan0 10.246.4.0/24 10.246.4.0 cvxlan0 10.246.6.0/24 10.246.6.0 cvxlan0]"; s != want {
		t.Errorf("routes %s, want %s", s, want)
	}
	if want := map[netip.Addr]netip.Addr{
		netip.MustParseAddr("10.246.3.0"): netip.MustParseAddr("10.245.2.6"),
		netip.MustParseAddr("10.246.4.0"): netip.MustParseAddr("10.245.9.7"),
		netip.MustParseAddr("10.246.6.0"): netip.MustParseAddr("10.245.1.8"),
	}; !maps.Equal(got.vteps, want) {
		t.Errorf("VXLAN %v, want %v", got.vteps, want)
	}
	if names := slices.Sorted(maps.Keys(got.unreached)); fmt.Sprint(names) != "[copy twin]" {
		t.Errorf("not reached: %v", got.unreached)
	}
	if o := got.overhead(Auto); o != 50 {
		t.Errorf("overhead %d", o)
	}
	// What was on a link before that is down now stays on it.
	former := plan{routes: map[netip.Prefix]hop{netip.MustParsePrefix("10.246.4.0/24"): {via: netip.MustParseAddr("10.245.9.7")}}}
	again := planFor(Auto, self, peersOf(nodes, "self"), at, former)
	if h := again.routes[netip.MustParsePrefix("10.246.4.0/24")]; h.over != "" || h.via.String() != "10.245.9.7" {
		t.Errorf("a node whose link is down is reached by %v", h)
	}
}

func sorted(routes map[netip.Prefix]hop) (all []string) {
	for p, h := range routes {
		via := h.via.String()
		if !h.via.IsValid() {
			via = "-"
		}
		all = append(all, p.String()+" "+via+" "+h.over)
	}
	slices.Sort(all)
	return all
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		mode, peer Mode
		at         position
		want       path
		why        string
	}{
		{Auto, Auto, onLink, direct, ""},
		{Auto, Auto, beyond, tunnelled, ""},
		{Auto, VXLAN, onLink, tunnelled, ""},
		{VXLAN, Auto, onLink, tunnelled, ""},
		{VXLAN, VXLAN, beyond, tunnelled, ""},
		{Auto, HostRoutes, onLink, direct, ""},
		{HostRoutes, Auto, onLink, direct, ""},
		{HostRoutes, Auto, beyond, unreached, "not on a link"},
		{Auto, HostRoutes, beyond, unreached, "not on a link"},
		{VXLAN, HostRoutes, onLink, unreached, "--pod-network routes, this node with vxlan"},
		{HostRoutes, VXLAN, onLink, unreached, "--pod-network vxlan, this node with routes"},
		{WireGuard, WireGuard, onLink, encrypted, ""},
		{WireGuard, WireGuard, beyond, encrypted, ""},
		{WireGuard, Auto, onLink, unreached, "wireguard is needed on all nodes"}, // never in the clear
		{Auto, WireGuard, onLink, unreached, "wireguard is needed on all nodes"},
		{None, Auto, onLink, unreached, ""},
		{Auto, None, onLink, unreached, "--pod-network none"},
		{Auto, Auto, own, unreached, "this machine's own"},
		{WireGuard, WireGuard, own, unreached, "this machine's own"},
	} {
		got, why := choose(c.mode, peer{node: "b", mode: c.peer, address: netip.MustParseAddr("10.245.1.3")}, c.at)
		if got != c.want || !strings.Contains(why, c.why) || (c.why == "") != (why == "") {
			t.Errorf("%s to %s at %d: %d %q, want %d %q", c.mode, c.peer, c.at, got, why, c.want, c.why)
		}
	}
}

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{Auto, HostRoutes, VXLAN, WireGuard, None} {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%s: %s, %v", m, got, err)
		}
	}
	for _, wrong := range []string{"", "VXLAN", "host-gw", "auto "} {
		if got, err := ParseMode(wrong); err == nil {
			t.Errorf("%q is %q", wrong, got)
		}
	}
}

// A node that writes the key of an older one gets nothing of what is for that one, and no plan has what is no key.
func TestPlanOfWireGuard(t *testing.T) {
	keys := make([]wgtypes.Key, 2)
	for i := range keys {
		private, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = private.PublicKey()
	}
	with := func(key string) map[string]string {
		return map[string]string{ModeAnnotation: "wireguard", KeyAnnotation: key}
	}
	nodes := []*v1.Node{
		nodeWith("thief", "10.246.9.0/24", 1, with(keys[0].String()), "10.245.1.9"),
		nodeWith("near", "10.246.1.0/24", 5, with(keys[0].String()), "10.245.1.3"),
		nodeWith("far", "10.246.2.0/24", 4, with(keys[1].String()), "10.245.2.3"),
		nodeWith("none", "10.246.3.0/24", 3, with(""), "10.245.1.4"),
		nodeWith("zero", "10.246.4.0/24", 3, with(wgtypes.Key{}.String()), "10.245.1.5"),
		nodeWith("short", "10.246.5.0/24", 3, with("c2hvcnQ="), "10.245.1.6"),
		nodeWith("clear", "10.246.6.0/24", 3, nil, "10.245.1.7"),
	}
	got := planFor(WireGuard, netip.MustParsePrefix("10.246.0.0/24"), peersOf(nodes, "self"), at, plan{})
	want := map[key]endpoint{
		keys[0]: {netip.MustParseAddrPort("10.245.1.3:51820"), netip.MustParsePrefix("10.246.1.0/24")},
		keys[1]: {netip.MustParseAddrPort("10.245.2.3:51820"), netip.MustParsePrefix("10.246.2.0/24")},
	}
	if !maps.Equal(got.wireguard, want) {
		t.Errorf("peers %v, want %v", got.wireguard, want)
	}
	if s := fmt.Sprint(sorted(got.routes)); s != "[10.246.1.0/24 - cwg0 10.246.2.0/24 - cwg0]" || len(got.vteps) > 0 {
		t.Errorf("routes %s, VXLAN %v", s, got.vteps)
	}
	if names := slices.Sorted(maps.Keys(got.unreached)); fmt.Sprint(names) != "[clear none short thief zero]" {
		t.Errorf("not reached: %v", got.unreached)
	}
	if o := got.overhead(WireGuard); o != 60 {
		t.Errorf("overhead %d", o)
	}
}
