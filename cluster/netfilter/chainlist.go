package netfilter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// listChains returns the names of a table's chains. iptables would print all their rules, too, which for
// 10,000 services takes longer than to write them; nftables lists chains alone.
func listChains(ipt *iptables.IPTables, table string) ([]string, error) {
	if onNftables() {
		if names, err := chainsOfNftables(table); err == nil {
			return names, nil
		}
		// Another process changes rules: iptables tries until it has a whole list.
	}
	names, err := ipt.ListChains(table)
	if err != nil {
		return nil, fmt.Errorf("chains of table %s: %w", table, err)
	}
	return names, nil
}

func chainsOfNftables(table string) ([]string, error) {
	uses, err := usesOfNftables()
	return slices.Collect(maps.Keys(uses[table])), err
}

// usesOfNftables returns by table and chain how many rules the chain has and how many jump to it, together: the kernel
// counts no other uses of chains that iptables can make.
func usesOfNftables() (map[string]map[string]int, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	uses := map[string]map[string]int{}
	err := req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(answer []byte) bool {
		if len(answer) < nl.SizeofNfgenmsg {
			return true
		}
		var table, name []byte
		var used uint32
		for kind, value := range attributes(answer[nl.SizeofNfgenmsg:]) {
			switch kind {
			case unix.NFTA_CHAIN_TABLE:
				table = bytes.TrimRight(value, "\x00")
			case unix.NFTA_CHAIN_NAME:
				name = bytes.TrimRight(value, "\x00")
			case unix.NFTA_CHAIN_USE:
				if len(value) == 4 {
					used = binary.BigEndian.Uint32(value)
				}
			}
		}
		of := uses[string(table)]
		if of == nil {
			of = map[string]int{}
			uses[string(table)] = of
		}
		of[string(name)] = int(used)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("chains of nftables: %w", err)
	}
	return uses, nil
}

// attributes are the attributes of a message of netlink, by kind. Those of package nl cost a goroutine for each message, or a
// list.
func attributes(data []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(data) >= unix.SizeofNlAttr {
			size, kind := int(binary.NativeEndian.Uint16(data)), binary.NativeEndian.Uint16(data[2:])
			if size < unix.SizeofNlAttr || size > len(data) || !yield(kind&nl.NLA_TYPE_MASK, data[unix.SizeofNlAttr:size]) {
				return
			}
			data = data[min(len(data), (size+3)&^3):]
		}
	}
}
