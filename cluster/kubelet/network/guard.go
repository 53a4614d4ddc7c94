package network

import (
	"context"
	"fmt"
	"maps"
	"net/netip"

	"wheelhouse/cluster/netfilter"
)

const (
	peersChain = "WHEELHOUSE-PEERS"
	peersSet   = "WHPEERS"
)

// guardRules let packets of VXLAN in from nodes only: any other machine that reaches the port
// could send as any pod.
var guardRules = &netfilter.Owner{
	Tables: []string{"filter"},
	Chains: []string{peersChain},
	Anchors: []netfilter.Anchor{
		{Table: "filter", Chain: "INPUT", First: true, Rule: []string{"-p", "udp", "--dport", fmt.Sprint(vxlanPort), "-j", peersChain}},
	},
}

// guard keeps guardRules while VXLAN is in use.
type guard struct {
	rules   *netfilter.Applier
	sets    *netfilter.SetApplier
	from    map[netip.Addr]bool // as applied last
	damaged bool                // by another program, and not mended since
	removed bool
}

func newGuard() *guard { return &guard{sets: netfilter.NewSetApplier(peersSet)} }

// apply lets packets in from these machines alone. It reports whether it has mended what another program had changed.
func (g *guard) apply(ctx context.Context, machines []netip.Addr) (mended bool, err error) {
	from := map[netip.Addr]bool{}
	set := &netfilter.Set{Type: netfilter.Addresses, Members: map[netfilter.Member]struct{}{}}
	for _, m := range machines {
		from[m] = true
		set.Members[netfilter.Member{Prefix: netip.PrefixFrom(m, m.BitLen())}] = struct{}{}
	}
	if g.rules == nil {
		if g.rules, err = netfilter.NewApplier(guardRules); err != nil {
			return false, err
		}
	}
	if g.from != nil {
		rules, members := g.rules.Holds(), g.sets.Holds()
		g.damaged = g.damaged || !rules || !members
	}
	if maps.Equal(from, g.from) && !g.damaged {
		return false, nil
	}
	g.from, g.removed = nil, false
	g.rules.Forget()
	want := netfilter.Sets{peersSet: set}
	if err := g.sets.Extend(want); err != nil {
		return false, err
	}
	err = g.rules.Apply(ctx, netfilter.Tables{"filter": {
		peersChain: netfilter.Rule(peersChain, "-m set --match-set "+peersSet+" src", "-j RETURN") + netfilter.Rule(peersChain, "-j DROP"),
	}})
	if err != nil {
		return false, err
	}
	if err := g.sets.Reduce(want); err != nil {
		return false, err
	}
	mended, g.from, g.damaged = g.damaged, from, false
	return mended, nil
}

// remove removes rules and set, also those of a former process.
func (g *guard) remove(ctx context.Context) error {
	if g.removed {
		return nil
	}
	g.rules, g.from, g.damaged = nil, nil, false
	g.sets.Forget()
	if err := guardRules.Cleanup(ctx); err != nil {
		return err
	}
	if err := netfilter.RemoveSets(peersSet); err != nil {
		return err
	}
	g.removed = true
	return nil
}
