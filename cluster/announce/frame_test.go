package announce

import (
	"net/netip"
	"testing"
)

var (
	ownMAC   = mac{2, 0, 0, 0, 0, 1}
	askerMAC = mac{2, 0, 0, 0, 0, 9}
)

// question is a solicitation as a kernel sends it.
func question(address, asker netip.Addr) []byte {
	if address.Is4() {
		return arp(1, broadcast, askerMAC, asker, mac{}, address)
	}
	b := advertise(mac{0x33, 0x33, 0xff, 0, 0, 1}, askerMAC, address, solicitedNode(address), 0, nil)
	ip := b[etherLen:]
	copy(ip[8:24], asker.AsSlice())
	icmp := ip[ipv6Len:]
	icmp[0], icmp[2], icmp[3] = solicitation, 0, 0
	sum := checksum(asker, solicitedNode(address), icmp)
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	return b
}

func TestFrames(t *testing.T) {
	for _, tt := range []struct{ address, asker string }{
		{"192.0.2.7", "192.0.2.1"}, {"192.0.2.7", "0.0.0.0"}, {"2001:db8::7", "2001:db8::1"}, {"2001:db8::7", "::"},
	} {
		address, asker := netip.MustParseAddr(tt.address), netip.MustParseAddr(tt.asker)
		m, ok := parse(question(address, asker))
		if want := (message{address: address, from: askerMAC, asker: asker}); !ok || m != want {
			t.Errorf("a question for %s: %+v, want %+v", address, m, want)
		}
		said, ok := parse(announcement(address, ownMAC, nodeID("minion-1")))
		if want := (message{announces: true, address: address, from: ownMAC, node: nodeID("minion-1")}); !ok || said != want {
			t.Errorf("an announcement of %s: %+v, want %+v", address, said, want)
		}
		reply := answer(m, ownMAC)
		if to := mac(reply[:6]); to != askerMAC && !asker.IsUnspecified() {
			t.Errorf("an answer for %s goes to %x", address, to)
		}
		if !address.Is4() { // its checksum is right
			ip := reply[etherLen:]
			if checksum(netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), ip[ipv6Len:]) != 0 {
				t.Errorf("an answer for %s has a wrong checksum", address)
			}
		}
	}
}

// What is not a question or an announcement of this link is nothing.
func TestFramesRefused(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	change := func(frame []byte, at int, to byte) []byte {
		frame[at] = to
		return frame
	}
	for name, frame := range map[string][]byte{
		"an ARP answer":         answer(message{address: v4, from: askerMAC, asker: netip.MustParseAddr("192.0.2.1")}, ownMAC),
		"another hardware":      change(question(v4, v4.Next()), etherLen+1, 6),
		"half a frame":          question(v4, v4.Next())[:30],
		"an ND answer":          answer(message{address: v6, from: askerMAC, asker: v6.Next()}, ownMAC),
		"a forwarded packet":    change(question(v6, v6.Next()), etherLen+7, 254),
		"a wrong checksum":      change(question(v6, v6.Next()), etherLen+ipv6Len+20, 99),
		"a length beyond it":    change(question(v6, v6.Next()), etherLen+5, 200),
		"a length without room": change(question(v6, v6.Next()), etherLen+5, 8),
		"another protocol":      change(question(v4, v4.Next()), 13, 0),
	} {
		if m, ok := parse(frame); ok {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if nonce([]byte{1, 0, 0, 0, 0, 0, 0, 0}) != (mac{}) || nonce([]byte{1, 9, 0, 0, 0, 0, 0, 0}) != (mac{}) {
		t.Error("an option without a length has a nonce")
	}
}

func FuzzParse(f *testing.F) {
	for _, a := range []string{"192.0.2.7", "2001:db8::7"} {
		ip := netip.MustParseAddr(a)
		f.Add(question(ip, ip.Next()))
		f.Add(announcement(ip, ownMAC, nodeID("minion-1")))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, ok := parse(frame)
		if !ok {
			return
		}
		if !m.address.IsValid() || m.announces == m.asker.IsValid() {
			t.Errorf("%+v", m)
		}
		if !m.announces {
			answer(m, ownMAC)
		}
	})
}
