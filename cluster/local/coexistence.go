package local

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/resolvconf"
)

// The checks of what else is on the machine: other programs' packet rules, and networks. They
// read and change nothing.

// wayOut is the remedy for other programs' rules: two for the cluster's interfaces before them, or
// a cluster that needs none.
const wayOut = "iptables -I FORWARD -i wu-+ -j ACCEPT && iptables -I FORWARD -o wu-+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT, or wheelhouse up --isolated for clusters that reach nothing outside"

// checkForward checks whether the machine forwards what pods send elsewhere. Pods of a
// cluster reach each other in any case.
func checkForward(cfg Config) Check {
	const name = "forwarding"
	saved, err := exec.Command("iptables-save").Output()
	if err != nil {
		return Check{name, Warn, "packet rules are not readable: " + err.Error(), "run doctor as root"}
	}
	if !forwards() {
		return Check{name, Warn, "net.ipv4.ip_forward is 0: pods reach nothing outside their cluster", "sysctl -w net.ipv4.ip_forward=1, or wheelhouse up --isolated for clusters that reach nothing outside"}
	}
	if rec, err := load(cfg.dir()); err == nil && !rec.Isolated && linkExists(outsideLink(cfg.Name)) {
		for _, table := range []string{"mangle", "nat", "filter"} {
			want := slices.ContainsFunc(machineRules(cfg.Name, rec.Subnets.gateway(), table != "mangle"), func(r machineRule) bool { return r.table == table })
			has := slices.ContainsFunc(machineRulesIn(string(saved), table), func(r savedRule) bool { return r.cluster == cfg.Name })
			if want && !has {
				return Check{name, Warn, fmt.Sprintf("the rules of cluster %s in table %s are gone, another program has removed them", cfg.Name, table), "wheelhouse up, with the flags of before, writes them again"}
			}
		}
	}
	policy, before := "", ""
	for _, line := range tableOf(string(saved), "filter") {
		if p, ok := strings.CutPrefix(line, ":FORWARD "); ok {
			policy, _, _ = strings.Cut(p, " ")
		}
		// A rule without a condition ends the chain for what is appended to it.
		if strings.HasPrefix(line, "-A FORWARD -j REJECT") || line == "-A FORWARD -j DROP" || strings.HasPrefix(line, "-A ufw-reject-forward -j REJECT") {
			before = line
		}
	}
	switch {
	case before != "":
		return Check{name, Warn, fmt.Sprintf("the rule %q refuses what pods send outside their cluster", strings.TrimPrefix(before, "-A ")), wayOut}
	case policy == "DROP":
		return Check{name, OK, "policy DROP, as Docker sets it: clusters have rules before it, and a node on a machine of its own, too", ""}
	}
	return Check{name, OK, "policy ACCEPT", ""}
}

// tableOf returns the lines of one table of iptables-save.
func tableOf(saved, table string) (lines []string) {
	within := false
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "*"); ok {
			within = name == table
		} else if within {
			lines = append(lines, line)
		}
	}
	return lines
}

// checkBackends finds rules in both of the kernel's rule sets, each of which every packet passes:
// what one accepts the other may drop, and no program shows both.
func checkBackends() Check {
	const name = "rule sets"
	var have []string
	for _, backend := range []string{"legacy", "nft"} {
		out, err := exec.Command("iptables-" + backend + "-save").Output()
		if err == nil && (strings.Contains(string(out), "\n-A ") || strings.Contains(string(out), " DROP [")) {
			have = append(have, backend)
		}
	}
	if len(have) < 2 {
		return Check{name, OK, strings.Join(append(have, "no mixture of iptables-legacy and iptables-nft"), ", "), ""}
	}
	return Check{
		name, Warn, "iptables-legacy and iptables-nft have rules both: a packet must pass both, and each program shows its own only",
		"update-alternatives --set iptables /usr/sbin/iptables-nft (or iptables-legacy: the one that Docker uses), then reboot; until then wheelhouse up --isolated needs neither for its pods",
	}
}

// checkFirewalls finds the firewalls that manage rules by themselves.
func checkFirewalls() Check {
	const name = "firewalls"
	saved, err := exec.Command("iptables-save").Output()
	if err != nil {
		return Check{name, Warn, "packet rules are not readable: " + err.Error(), "run doctor as root"}
	}
	ufw := strings.Contains(string(saved), ":ufw-before-forward ")
	firewalld := strings.Contains(string(saved), ":FORWARD_IN_ZONES ") || exec.Command("firewall-cmd", "--state").Run() == nil
	switch {
	case firewalld:
		return Check{
			name, Warn, "firewalld is active: it refuses to forward what no zone accepts, and connections of other machines to this one",
			"firewall-cmd --permanent --zone=trusted --add-interface=" + outsideLink(DefaultName) + " (for nodes on machines of their own: --add-source=POD-CIDR and --add-port=6443/tcp --add-port=10250/tcp), then firewall-cmd --reload; or wheelhouse up --isolated",
		}
	case ufw:
		return Check{
			name, Warn, "ufw is active: local clusters have rules behind its own; it refuses connections of other machines to this one",
			"for nodes on machines of their own: ufw allow 6443/tcp && ufw allow 10250/tcp && ufw route allow from POD-CIDR; local clusters: nothing, or wheelhouse up --isolated",
		}
	}
	return Check{name, OK, "neither firewalld nor ufw is active", ""}
}

// checkOverlaps finds routes of a VPN that do not clash with a cluster's, since they are wider or in
// a table of their own, and yet hide one or are hidden.
func checkOverlaps(cfg Config) Check {
	const name = "other routes"
	rec, err := load(cfg.dir())
	if err != nil {
		if rec.Subnets, err = choose(cfg); err != nil {
			return Check{name, OK, "no networks to compare with", ""} // checkAddresses says it
		}
	}
	own := linkIndexes(hostLink(cfg.Name), outsideLink(cfg.Name))
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return Check{name, Warn, "listing routes: " + err.Error(), "run doctor as root"}
	}
	const networks = "wheelhouse down, then wheelhouse up --networks NODES,PODS,SERVICES, such as 172.29.1.0/24,172.30.0.0/16,172.31.0.0/16"
	for _, r := range routes {
		if r.Dst == nil || own[r.LinkIndex] || r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		dst, err := netip.ParsePrefix(r.Dst.String())
		if err != nil || dst.Bits() <= 1 { // a default route, or the halves that some VPNs make of it
			continue
		}
		for _, ours := range rec.Subnets.all() {
			if !ours.Overlaps(dst) {
				continue
			}
			if r.Table != unix.RT_TABLE_MAIN {
				return Check{name, Warn, fmt.Sprintf("a route to %s in table %d, of a VPN, may come before that to %s of the cluster", dst, r.Table, ours), networks}
			}
			if dst.Bits() < ours.Bits() {
				return Check{name, Warn, fmt.Sprintf("%s of the cluster is within %s, which is routed elsewhere: hosts there with such addresses are not reached", ours, dst), networks}
			}
		}
	}
	return Check{name, OK, "none overlaps the cluster's networks", ""}
}

func linkIndexes(names ...string) map[int]bool {
	found := map[int]bool{}
	for _, name := range names {
		if l, err := netlink.LinkByName(name); err == nil {
			found[l.Attrs().Index] = true
		}
	}
	return found
}

// neighbours are the addresses that the machine has, and those that it needs to reach: gateways and
// name servers. A cluster's network must not have them, also where it is within a wider one, such as that of
// a large wireless network.
func neighbours(skip map[int]bool) (list []netip.Prefix) {
	add := func(ip []byte) {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap().Is4() && !a.IsUnspecified() {
			list = append(list, netip.PrefixFrom(a.Unmap(), 32))
		}
	}
	addrs, _ := netlink.AddrList(nil, netlink.FAMILY_V4) // without them the routes are still compared
	for _, a := range addrs {
		if !skip[a.LinkIndex] && a.IPNet != nil {
			add(a.IP)
		}
	}
	routes, _ := netlink.RouteList(nil, netlink.FAMILY_V4)
	for _, r := range routes {
		if !skip[r.LinkIndex] {
			add(r.Gw)
		}
	}
	servers, _, _ := (&resolvconf.File{Path: resolvconf.Default}).Servers()
	for _, s := range servers {
		add(s.Addr().AsSlice())
	}
	return list
}
