package netfilter

import (
	"fmt"

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
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, fmt.Errorf("chains of nftables: %w", err)
	}
	var names []string
	for _, answer := range answers {
		if len(answer) < nl.SizeofNfgenmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttr(answer[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, fmt.Errorf("a chain of nftables: %w", err)
		}
		var of, name string
		for _, a := range attributes {
			switch a.Attr.Type & nl.NLA_TYPE_MASK {
			case unix.NFTA_CHAIN_TABLE:
				of = unix.ByteSliceToString(a.Value)
			case unix.NFTA_CHAIN_NAME:
				name = unix.ByteSliceToString(a.Value)
			}
		}
		if of == table {
			names = append(names, name)
		}
	}
	return names, nil
}
