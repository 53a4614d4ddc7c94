package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-iptables/iptables"

	"wheelhouse/cluster/netfilter"
)

// Chains that always exist. Names are those of kube-proxy, so that its documentation applies.
const (
	servicesChain    = "KUBE-SERVICES"
	nodePortsChain   = "KUBE-NODEPORTS"
	postroutingChain = "KUBE-POSTROUTING"
	markMasqChain    = "KUBE-MARK-MASQ"
	forwardChain     = "KUBE-FORWARD"
	firewallChain    = "KUBE-FIREWALL"
)

// owner is what the proxy has in the kernel's tables. Its anchors come first: services are
// refused before Docker's rules accept or drop.
var owner = &netfilter.Owner{
	Tables: []string{"nat", "filter"},
	Chains: []string{
		"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-SEP-", "KUBE-FW-",
		servicesChain, nodePortsChain, postroutingChain, markMasqChain, forwardChain, firewallChain,
	},
	Anchors: []netfilter.Anchor{
		anchor("nat", "PREROUTING", "-m", "comment", "--comment", "kubernetes service portals", "-j", servicesChain),
		anchor("nat", "OUTPUT", "-m", "comment", "--comment", "kubernetes service portals", "-j", servicesChain),
		anchor("nat", "POSTROUTING", "-m", "comment", "--comment", "kubernetes postrouting rules", "-j", postroutingChain),
		anchor("filter", "FORWARD", "-m", "comment", "--comment", "kubernetes forwarding rules", "-j", forwardChain),
		anchor("filter", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-m", "comment", "--comment", "kubernetes service portals", "-j", servicesChain),
		anchor("filter", "FORWARD", "-m", "conntrack", "--ctstate", "NEW", "-m", "comment", "--comment", "kubernetes service portals", "-j", servicesChain),
		anchor("filter", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-m", "comment", "--comment", "kubernetes service portals", "-j", servicesChain),
		anchor("filter", "INPUT", "-j", firewallChain),
	},
}

func anchor(table, chain string, rule ...string) netfilter.Anchor {
	return netfilter.Anchor{Table: table, Chain: chain, First: true, Rule: rule}
}

// Cleanup removes all rules and chains of the proxy from the process's network namespace.
func Cleanup(ctx context.Context) error { return owner.Cleanup(ctx) }

// KeepReachable accepts packets to the API server before all rules of services that exist
// already: those of a former process may lead them to a pod, and without the API server
// the present services are not known. A node calls it before its first request; the next
// rules that a Proxy writes replace these. Where a Proxy accepts them already no rule is left that
// is not its own: it would find its rules changed.
func KeepReachable(server netip.AddrPort) error {
	ipt, err := iptables.New()
	if err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	match := []string{"-d", server.Addr().String(), "-p", "tcp", "-m", "tcp", "--dport", strconv.Itoa(int(server.Port()))}
	rules := map[string][]string{"nat": slices.Concat(match, []string{"-j", "ACCEPT"}), "filter": slices.Concat(match, []string{"-j", "RETURN"})}
	ok, byProxy := accepted(ipt, server)
	if !ok {
		for table, rule := range rules {
			ok, err := ipt.ChainExists(table, servicesChain)
			if err == nil && ok {
				err = ipt.InsertUnique(table, servicesChain, 1, rule...)
			}
			if err != nil {
				return fmt.Errorf("rule for the API server in table %s: %w", table, err)
			}
		}
		_, byProxy = accepted(ipt, server) // it may have begun meanwhile
	}
	if !byProxy {
		return nil
	}
	for table, rule := range rules {
		if err := ipt.DeleteIfExists(table, servicesChain, rule...); err != nil {
			return fmt.Errorf("needless rule for the API server in table %s: %w", table, err)
		}
	}
	return nil
}

// accepted reports whether the rules of services accept packets to a server before all others, and whether a rule does that a Proxy has
// written, which says so.
func accepted(ipt *iptables.IPTables, server netip.AddrPort) (ok, byProxy bool) {
	rules, err := ipt.List("nat", servicesChain)
	if err != nil || len(rules) == 0 {
		return false, false // the chain does not exist, or the caller meets the error
	}
	own := fmt.Sprintf("-A %s -d %s/32 -p tcp -m tcp --dport %d ", servicesChain, server.Addr(), server.Port())
	for _, rule := range rules[1:] { // after the chain itself
		if !strings.HasSuffix(rule, "-j ACCEPT") {
			break
		}
		if rest, to := strings.CutPrefix(rule, own); to {
			ok, byProxy = true, byProxy || strings.Contains(rest, "--comment")
		}
	}
	return ok, byProxy
}
