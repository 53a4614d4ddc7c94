package announce

import (
	"encoding/binary"
	"net/netip"
)

// Frames of the two protocols by which a machine on the link finds who has an address: ARP
// (RFC 826, announcements as in RFC 5227) and neighbour discovery (RFC 4861). All functions
// here are pure, look at no more than the frame, and take any bytes.

type mac [6]byte

var (
	broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes  = netip.MustParseAddr("ff02::1")
)

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	etherLen = 14
	arpLen   = 28
	ipv6Len  = 40
	ndpLen   = 24 // of a solicitation or an advertisement without options

	protoICMPv6   = 58
	solicitation  = 135
	advertisement = 136
	solicited     = 0x40 // flags of an advertisement
	override      = 0x20

	optionTarget = 2  // the link-layer address of the target
	optionNonce  = 14 // RFC 3971; other receivers skip it
)

// message is what a frame says of an address.
type message struct {
	announces bool // the sender has the address; else it asks for it
	address   netip.Addr
	from      mac
	asker     netip.Addr // of a question; may be unspecified
	node      mac        // of an announcement: nodeID of the sender, if it is a node
}

// parse returns what a frame says. Answers to others are not among it.
func parse(frame []byte) (message, bool) {
	if len(frame) < etherLen {
		return message{}, false
	}
	from, body := mac(frame[6:12]), frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return parseARP(from, body)
	case etherIPv6:
		return parseNDP(from, body)
	}
	return message{}, false
}

func parseARP(from mac, b []byte) (message, bool) {
	if len(b) < arpLen || string(b[:8]) != "\x00\x01\x08\x00\x06\x04\x00\x01" {
		return message{}, false
	}
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	if sender == target {
		return message{announces: true, address: sender, from: from, node: mac(b[18:24])}, true
	}
	return message{address: target, from: from, asker: sender}, true
}

// parseNDP takes packets of this link only: those that no router has forwarded.
func parseNDP(from mac, b []byte) (message, bool) {
	if len(b) < ipv6Len+ndpLen || b[0]>>4 != 6 || b[6] != protoICMPv6 || b[7] != 255 {
		return message{}, false
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n < ndpLen || n > len(b)-ipv6Len {
		return message{}, false
	}
	src, dst, icmp := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[ipv6Len:ipv6Len+n]
	if icmp[1] != 0 || checksum(src, dst, icmp) != 0 {
		return message{}, false
	}
	m := message{address: netip.AddrFrom16([16]byte(icmp[8:24])), from: from, asker: src}
	switch {
	case icmp[0] == solicitation:
		return m, true
	case icmp[0] == advertisement && icmp[4]&solicited == 0:
		m.announces, m.asker, m.node = true, netip.Addr{}, nonce(icmp[ndpLen:])
		return m, true
	}
	return message{}, false
}

// nonce returns the first nonce of six bytes among options.
func nonce(options []byte) mac {
	for len(options) >= 8 {
		n := int(options[1]) * 8
		if n == 0 || n > len(options) {
			break
		}
		if options[0] == optionNonce && n == 8 {
			return mac(options[2:8])
		}
		options = options[n:]
	}
	return mac{}
}

// announcement is a frame to all machines on the link: own has the address. Its receivers
// correct what they remember of it. The node's id is where they do not look: in the target's
// hardware address of ARP, in a nonce of neighbour discovery.
func announcement(address netip.Addr, own, node mac) []byte {
	if address.Is4() {
		return arp(1, broadcast, own, address, node, address)
	}
	options := append([]byte{optionTarget, 1}, own[:]...)
	options = append(append(options, optionNonce, 1), node[:]...)
	return advertise(mac{0x33, 0x33, 0, 0, 0, 1}, own, address, allNodes, override, options)
}

// answer is a frame to who has asked.
func answer(m message, own mac) []byte {
	if m.address.Is4() {
		return arp(2, m.from, own, m.address, m.from, m.asker)
	}
	to, asker, flags := m.from, m.asker, byte(solicited|override)
	if asker.IsUnspecified() { // it looks whether the address is free
		to, asker, flags = mac{0x33, 0x33, 0, 0, 0, 1}, allNodes, override
	}
	return advertise(to, own, m.address, asker, flags, append([]byte{optionTarget, 1}, own[:]...))
}

func arp(operation byte, to, own mac, sender netip.Addr, targetMAC mac, target netip.Addr) []byte {
	b := ether(to, own, etherARP, arpLen)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, operation)
	b = append(append(b, own[:]...), sender.AsSlice()...)
	return append(append(b, targetMAC[:]...), target.AsSlice()...)
}

func advertise(to, own mac, address, dst netip.Addr, flags byte, options []byte) []byte {
	n := ndpLen + len(options)
	b := ether(to, own, etherIPv6, ipv6Len+n)
	b = append(b, 0x60, 0, 0, 0, 0, byte(n), protoICMPv6, 255)
	b = append(append(b, address.AsSlice()...), dst.AsSlice()...)
	b = append(b, advertisement, 0, 0, 0, flags, 0, 0, 0)
	b = append(append(b, address.AsSlice()...), options...)
	icmp := b[etherLen+ipv6Len:]
	binary.BigEndian.PutUint16(icmp[2:], checksum(address, dst, icmp))
	return b
}

func ether(to, own mac, kind uint16, room int) []byte {
	b := append(make([]byte, 0, etherLen+room), to[:]...)
	return binary.BigEndian.AppendUint16(append(b, own[:]...), kind)
}

// checksum is that of ICMPv6, over the pseudo header and the message; it is 0 for a message
// that has the right one.
func checksum(src, dst netip.Addr, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + protoICMPv6
	add := func(b []byte) {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	add(src.AsSlice())
	add(dst.AsSlice())
	add(icmp)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
