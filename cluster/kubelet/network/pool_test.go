package network

import (
	"net/netip"
	"testing"
)

func TestPool(t *testing.T) {
	p := newPool(netip.MustParsePrefix("10.246.1.0/29")) // .2 to .6 are for pods
	take := func(pod, ip string) string {
		t.Helper()
		var want netip.Addr
		if ip != "" {
			want = netip.MustParseAddr(ip)
		}
		got, _, err := p.take(pod, want)
		if err != nil {
			return "error"
		}
		return got.String()
	}
	expect := func(step, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %s, want %s", step, got, want)
		}
	}
	expect("adopted address", take("a", "10.246.1.3"), "10.246.1.3")
	expect("first free", take("b", ""), "10.246.1.2")
	expect("same pod again", take("b", ""), "10.246.1.2")
	expect("skips the adopted one", take("c", ""), "10.246.1.4")
	expect("taken", take("d", "10.246.1.4"), "error")
	expect("gateway", take("d", "10.246.1.1"), "error")
	expect("broadcast", take("d", "10.246.1.7"), "error")
	expect("foreign", take("d", "10.246.2.2"), "error")
	p.release("c")
	expect("a freed address rests", take("e", ""), "10.246.1.5")
	expect("goes on", take("f", ""), "10.246.1.6")
	expect("wraps around", take("g", ""), "10.246.1.4")
	expect("full", take("h", ""), "error")
	p.release("a")
	expect("the one free address", take("h", ""), "10.246.1.3")
}
