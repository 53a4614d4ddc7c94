package loadbalancer

import (
	"net/netip"
	"testing"
)

func TestParsePool(t *testing.T) {
	tests := []struct {
		list []string
		want string // the error's text if it ends in !, else the pool's
	}{
		{nil, ""},
		{[]string{"192.168.1.240/28", " 192.168.1.7 - 192.168.1.9", "2001:db8::/126"}, "192.168.1.240-192.168.1.255, 192.168.1.7-192.168.1.9, 2001:db8::-2001:db8::3"},
		{[]string{"192.168.1.243/28"}, "192.168.1.240-192.168.1.255"},
		{[]string{"192.168.1.9-192.168.1.7"}, `"192.168.1.9-192.168.1.7": want a CIDR such as 192.168.1.240/28, or a range such as 192.168.1.200-192.168.1.220`},
		{[]string{"192.168.1.9-2001:db8::1"}, `"192.168.1.9-2001:db8::1": want a CIDR such as 192.168.1.240/28, or a range such as 192.168.1.200-192.168.1.220`},
		{[]string{"192.168.1.9"}, `"192.168.1.9": want a CIDR such as 192.168.1.240/28, or a range such as 192.168.1.200-192.168.1.220`},
		{[]string{"10.0.0.0/8", "10.1.0.0/16"}, "10.0.0.0-10.255.255.255 and 10.1.0.0-10.1.255.255 overlap"},
		{[]string{"127.0.0.0/24"}, "127.0.0.0-127.0.0.255: 127.0.0.0 is of a special range, which no load balancer can have"},
		{[]string{"::ffff:10.0.0.1-::ffff:10.0.0.2"}, "::ffff:10.0.0.1-::ffff:10.0.0.2: ::ffff:10.0.0.1 is of a special range, which no load balancer can have"},
		{[]string{"fe80::/64"}, "fe80::-fe80::ffff:ffff:ffff:ffff: fe80:: is of a special range, which no load balancer can have"},
	}
	for _, tt := range tests {
		p, err := ParsePool(tt.list)
		got := p.String()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.list, got, tt.want)
		}
	}
}

func TestPoolFree(t *testing.T) {
	tests := []struct {
		list  string
		taken []string
		want  string
	}{
		{"10.0.0.0/30", nil, "10.0.0.1"}, // .0 is left out
		{"10.0.0.0/30", []string{"10.0.0.1", "10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.252/30", []string{"10.0.0.252", "10.0.0.253", "10.0.0.254"}, "invalid IP"}, // .255, too
		{"10.0.0.255-10.0.0.255", nil, "10.0.0.255"},                                        // a range is taken as it stands
		{"10.0.0.0/31", nil, "10.0.0.0"},
	}
	for _, tt := range tests {
		p, err := ParsePool([]string{tt.list})
		if err != nil {
			t.Fatal(err)
		}
		taken := map[netip.Addr]bool{}
		for _, text := range tt.taken {
			taken[netip.MustParseAddr(text)] = true
		}
		got, ok := p.Free(true, func(a netip.Addr) bool { return taken[a] })
		if got.String() != tt.want || ok != got.IsValid() {
			t.Errorf("%s without %v: %v, want %s", tt.list, tt.taken, got, tt.want)
		}
	}
	// One of 2^64 addresses is found at once.
	p, err := ParsePool([]string{"2001:db8::/64"})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := p.Free(false, func(netip.Addr) bool { return false }); !ok || got.String() != "2001:db8::" {
		t.Errorf("%v %v", got, ok)
	}
	if _, ok := p.Free(true, func(netip.Addr) bool { return false }); ok || p.Has(true) || !p.Has(false) {
		t.Error("an IPv4 address of an IPv6 pool")
	}
}
