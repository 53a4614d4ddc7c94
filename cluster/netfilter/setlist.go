package netfilter

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listSet calls each with the members of a set, until that returns false, and returns the set's type. The library's list costs
// several goroutines for each member.
func listSet(name string, each func(Member) bool) (typ string, err error) {
	req := nl.NewNetlinkRequest(nl.IPSET_CMD_LIST|unix.NFNL_SUBSYS_IPSET<<8, nl.GetIpsetFlags(nl.IPSET_CMD_LIST))
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, nl.Uint8Attr(nl.IPSET_PROTOCOL)))
	req.AddData(nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(name)))
	more := true
	err = req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(answer []byte) bool {
		if len(answer) < nl.SizeofNfgenmsg {
			return true
		}
		for kind, value := range attributes(answer[nl.SizeofNfgenmsg:]) {
			switch kind {
			case nl.IPSET_ATTR_TYPENAME:
				typ = unix.ByteSliceToString(value)
			case nl.IPSET_ATTR_ADT:
				for kind, value := range attributes(value) {
					if kind == nl.IPSET_ATTR_DATA && more {
						more = each(memberOf(value))
					}
				}
			}
		}
		return more
	})
	if err != nil {
		return "", fmt.Errorf("listing the set %s: %w", name, err)
	}
	return typ, nil
}

// memberOf reads a member as the kernel lists it.
func memberOf(data []byte) (m Member) {
	bits := 32
	var addr netip.Addr
	for kind, value := range attributes(data) {
		switch {
		case kind == nl.IPSET_ATTR_IP:
			for kind, value := range attributes(value) {
				if kind == nl.IPSET_ATTR_IPADDR_IPV4 {
					addr, _ = netip.AddrFromSlice(value)
				}
			}
		case kind == nl.IPSET_ATTR_CIDR && len(value) == 1:
			bits = int(value[0])
		case kind == nl.IPSET_ATTR_PORT && len(value) == 2:
			m.Port = binary.BigEndian.Uint16(value)
		case kind == nl.IPSET_ATTR_PROTO && len(value) == 1:
			m.Protocol = value[0]
		}
	}
	m.Prefix = netip.PrefixFrom(addr, bits)
	return m
}
