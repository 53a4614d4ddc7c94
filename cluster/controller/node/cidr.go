package node

import (
	"fmt"
	"net/netip"
)

// subnets assigns subnets of equal size of a network, the first free one each time.
type subnets struct {
	all  netip.Prefix
	size int // prefix length of a subnet
	used map[netip.Prefix]string
}

func newSubnets(cidr string, size int) (*subnets, error) {
	all, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, fmt.Errorf("cluster CIDR: %w", err)
	}
	if !all.Addr().Is4() || size < all.Bits() || size > 30 {
		return nil, fmt.Errorf("cluster CIDR %s cannot be divided into subnets of /%d", cidr, size)
	}
	return &subnets{all.Masked(), size, map[netip.Prefix]string{}}, nil
}

// take records that a node has a subnet already.
func (s *subnets) take(node, cidr string) {
	if p, err := netip.ParsePrefix(cidr); err == nil {
		s.used[p.Masked()] = node
	}
}

// free releases the subnet of a node.
func (s *subnets) free(node string) {
	for p, n := range s.used {
		if n == node {
			delete(s.used, p)
		}
	}
}

// assign returns the subnet of a node, the same one on each call.
func (s *subnets) assign(node string) (string, error) {
	for p, n := range s.used {
		if n == node {
			return p.String(), nil
		}
	}
	step := uint32(1) << (32 - s.size)
	base := s.all.Addr().As4()
	first := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
	for i := range uint32(1) << (s.size - s.all.Bits()) {
		n := first + i*step
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), s.size)
		if !s.overlaps(p) {
			s.used[p] = node
			return p.String(), nil
		}
	}
	return "", fmt.Errorf("no subnet of %s is free: all %d are in use", s.all, 1<<(s.size-s.all.Bits()))
}

func (s *subnets) overlaps(p netip.Prefix) bool {
	if _, ok := s.used[p]; ok {
		return true
	}
	for u := range s.used {
		if u.Bits() != p.Bits() && u.Overlaps(p) {
			return true
		}
	}
	return false
}
