package address

import "testing"

// A machine has all addresses of its IPv6 network, except on the link, whose machines share one.
func TestOf(t *testing.T) {
	for remote, want := range map[string]struct{ of, network string }{
		"192.0.2.1:5":          {"192.0.2.1/32", "192.0.2.1/32"},
		"[::ffff:192.0.2.1]:5": {"192.0.2.1/32", "192.0.2.1/32"},
		"169.254.0.7:5":        {"169.254.0.7/32", "169.254.0.7/32"},
		"[2001:db8::7]:5":      {"2001:db8::/64", "2001:db8::/64"},
		"[2001:db8::ffff]:6":   {"2001:db8::/64", "2001:db8::/64"},
		"[fe80::1%eth0]:5":     {"fe80::1/128", "fe80::/64"},
		"[fe80::2%eth0]:5":     {"fe80::2/128", "fe80::/64"},
		"nonsense":             {"invalid Prefix", "invalid Prefix"},
	} {
		if of := Of(remote); of.String() != want.of || Network(of).String() != want.network {
			t.Errorf("%s is counted by %s, of the network %s; want %s, %s", remote, of, Network(of), want.of, want.network)
		}
	}
}
