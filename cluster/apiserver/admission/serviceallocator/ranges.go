package serviceallocator

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
)

// A key names an address ("ip/10.247.0.1") or a port ("port/30080") in Claims.
func ipKey(a netip.Addr) string { return "ip/" + a.String() }
func portKey(p int32) string    { return "port/" + strconv.Itoa(int(p)) }

// PortRange has the node ports, both ends included.
type PortRange struct{ First, Last int32 }

func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) contains(p int32) bool { return p >= r.First && p <= r.Last }

// span is a range of numbers from which one is picked. The first `reserved` are picked last:
// they are for Services that name them.
type span struct {
	size, reserved int
	key            func(i int) string
}

// pick returns the key of a free number, at random, so that what was released last is not
// allocated next; "" when all are used.
func (s span) pick(used func(string) bool) string {
	if k := s.pickFrom(s.reserved, s.size, used); k != "" {
		return k
	}
	return s.pickFrom(0, s.reserved, used)
}

func (s span) pickFrom(first, end int, used func(string) bool) string {
	n := end - first
	if n <= 0 {
		return ""
	}
	start := rand.IntN(n)
	for i := range n {
		if k := s.key(first + (start+i)%n); !used(k) {
			return k
		}
	}
	return ""
}

// addressSpan is without the network and broadcast addresses. The reserved part is upstream's: between 16 and 256 addresses, a sixteenth of the range.
func addressSpan(p netip.Prefix) span {
	base := binary.BigEndian.Uint32(p.Masked().Addr().AsSlice())
	size := 1<<(32-p.Bits()) - 2
	return span{size: size, reserved: band(size, 16, 256), key: func(i int) string {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+1+uint32(i))
		return ipKey(netip.AddrFrom4(b))
	}}
}

// portSpan reserves a thirty-second part, between 16 and 128 ports.
func portSpan(r PortRange) span {
	size := int(r.Last-r.First) + 1
	return span{size: size, reserved: band(size, 32, 128), key: func(i int) string { return portKey(r.First + int32(i)) }}
}

func band(size, divisor, most int) int {
	if size <= 16 {
		return 0
	}
	return min(max(16, size/divisor), most)
}
