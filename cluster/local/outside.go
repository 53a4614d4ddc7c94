package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network"
)

// What leaves a cluster takes a way of its own: from a node by its default route to the
// namespace of the bridge, which forwards it under one address over a second veth pair to the
// machine, which forwards it under its own. An isolated cluster has no such pair.
const outsidePort = "out0" // the pair's end in the namespace of the bridge

// outsideLink returns the name of the machine's end of the pair.
func outsideLink(cluster string) string { return linkName("wu-", cluster) }

// onlyMachine are what a machine reaches and its guests should not: link-local addresses, with
// the metadata services of AWS, Google, Azure and OpenStack, and those of clouds elsewhere.
var onlyMachine = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's agent
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
}

// connectOutside makes the way out, or removes it for an isolated cluster. No packet comes
// before the rules that keep packets from the machine itself.
func (l *lan) connectOutside(ctx context.Context, allowHostAccess bool) error {
	if l.Isolated {
		return l.disconnectOutside()
	}
	gw, out := l.Subnets.gateway(), outsideLink(l.Name)
	own, err := netns.Get()
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := l.pairOutside(h, own, out)
	if err != nil {
		return fmt.Errorf("interface %s: %w", out, err)
	}
	if err := setMachineRules(l.Name, machineRules(l.Name, gw, allowHostAccess)); err != nil {
		return fmt.Errorf("the machine's rules: %w", err)
	}
	if err := errors.Join(withoutIPv6(out), network.Do(l.ns, l.setForwarding)); err != nil {
		return err
	}
	if err := h.AddrReplace(link, pointToPoint(l.Subnets.uplink(), gw)); err != nil {
		return fmt.Errorf("address of %s: %w", out, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	port, err := l.h.LinkByName(outsidePort)
	if err != nil {
		return err
	}
	if err := l.h.LinkSetUp(port); err != nil {
		return err
	}
	if err := errors.Join(network.WaitUp(ctx, h.LinkByName, out), network.WaitUp(ctx, l.h.LinkByName, outsidePort)); err != nil {
		return err
	}
	return l.routeOutside(port, allowHostAccess)
}

// pairOutside makes the veth pair unless it is there.
func (l *lan) pairOutside(h *netlink.Handle, own netns.NsHandle, out string) (netlink.Link, error) {
	link, err := h.LinkByName(out)
	_, portErr := l.h.LinkByName(outsidePort)
	if err == nil && portErr == nil {
		return link, nil
	}
	if err == nil {
		if err := h.LinkDel(link); err != nil { // its peer is in a namespace of before
			return nil, err
		}
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: outsidePort}, PeerName: out, PeerNamespace: netlink.NsFd(own)}
	if err := l.h.LinkAdd(pair); err != nil {
		return nil, err
	}
	return h.LinkByName(out)
}

// routeOutside sets the routes of the bridge's namespace: to nodes, to nothing for pods and
// services, which nodes know better ways to (a packet for a pod that is gone must not leave the
// machine), and to the machine for the rest.
func (l *lan) routeOutside(port netlink.Link, allowHostAccess bool) error {
	at := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(l.Subnets.gateway(), l.Subnets.LAN.Bits()))}
	if err := l.h.AddrReplace(l.bridge, at); err != nil {
		return fmt.Errorf("address of %s: %w", bridge, err)
	}
	none := []netip.Prefix{l.Subnets.Pods.Masked(), l.Subnets.Services.Masked()}
	for _, p := range onlyMachine {
		if !allowHostAccess {
			none = append(none, p)
			continue
		}
		err := l.h.RouteDel(&netlink.Route{Dst: ipNet(p), Type: unix.RTN_UNREACHABLE})
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("route to %s: %w", p, err)
		}
	}
	for _, p := range none {
		if err := l.h.RouteReplace(&netlink.Route{Dst: ipNet(p), Type: unix.RTN_UNREACHABLE}); err != nil {
			return fmt.Errorf("route to %s: %w", p, err)
		}
	}
	// The machine asks for this end's hardware address from its own; without this route rp_filter, which looks
	// for that address on the bridge, has the kernel ignore the question.
	peer := &netlink.Route{LinkIndex: port.Attrs().Index, Dst: ipNet(netip.PrefixFrom(l.Subnets.uplink(), 32)), Scope: netlink.SCOPE_LINK}
	if err := l.h.RouteReplace(peer); err != nil {
		return fmt.Errorf("route to the machine: %w", err)
	}
	way := &netlink.Route{LinkIndex: port.Attrs().Index, Dst: ipNet(everywhere), Gw: l.Subnets.uplink().AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := l.h.RouteReplace(way); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	return nil
}

var everywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// setForwarding makes the namespace of the bridge, which is the thread's, a router for nodes
// alone: nobody outside opens a connection through it. What passes the machine's own bridge
// goes through the same chain.
func (l *lan) setForwarding() error {
	ipt, err := iptables.New()
	if err != nil {
		return err
	}
	for _, r := range []struct {
		table, chain string
		spec         []string
	}{
		{"filter", "FORWARD", []string{"-i", outsidePort, "-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED", "-j", "DROP"}},
		{"filter", "INPUT", []string{"-i", outsidePort, "-j", "DROP"}},
		{"nat", "POSTROUTING", []string{"-o", outsidePort, "-j", "MASQUERADE"}},
	} {
		if err := ipt.AppendUnique(r.table, r.chain, r.spec...); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("1"), 0o644); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// disconnectOutside removes the pair, with it the routes over it, and the machine's rules.
func (l *lan) disconnectOutside() error {
	err := setMachineRules(l.Name, nil)
	if port, err2 := l.h.LinkByName(outsidePort); err2 == nil {
		err = errors.Join(err, l.h.LinkDel(port)) // and its peer
	}
	return errors.Join(err, network.Do(l.ns, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
	}))
}

// machineRule is a rule of the machine's own namespace.
type machineRule struct{ table, verb, rule string }

// ruleComment marks the rules of a cluster, so that they are found without a record.
func ruleComment(cluster string) string { return "wheelhouse:" + cluster }

// machineRules are those that a cluster which is not isolated needs. Packets from it are for
// others only, neither for the machine (before any translation of destinations) nor for another
// local cluster. That they are accepted is the last rule of the chain: what the machine or
// Docker refuses stays refused, and only a policy of DROP is overridden.
func machineRules(cluster string, from netip.Addr, allowHostAccess bool) []machineRule {
	in, mark := " -i "+outsideLink(cluster), " -m comment --comment "+ruleComment(cluster)
	rules := []machineRule{
		{"nat", "-A", "POSTROUTING -s " + from.String() + "/32 ! -o " + outsideLink(cluster) + mark + " -j MASQUERADE"},
		{"filter", "-A", "FORWARD" + in + mark + " -j ACCEPT"},
		{"filter", "-A", "FORWARD -o " + outsideLink(cluster) + " -m conntrack --ctstate RELATED,ESTABLISHED" + mark + " -j ACCEPT"},
	}
	if allowHostAccess {
		return rules
	}
	return append(rules,
		machineRule{"mangle", "-I", "PREROUTING" + in + " -m addrtype ! --dst-type UNICAST" + mark + " -j DROP"},
		machineRule{"mangle", "-I", "FORWARD" + in + " -o wh-+" + mark + " -j DROP"},
		machineRule{"mangle", "-I", "FORWARD" + in + " -o wu-+" + mark + " -j DROP"},
	)
}

// setMachineRules replaces the machine's rules of a cluster, a table at a time: mangle, whose
// rules refuse, before those that accept. With them go the rules of clusters whose interface
// does not exist, which a rule set that was saved and restored can have. Others' rules stay.
func setMachineRules(cluster string, want []machineRule) error {
	lock, err := lockNames() // one at a time, whatever the state directory
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	saved, err := exec.Command("iptables-save").Output()
	if errors.Is(err, exec.ErrNotFound) && len(want) == 0 {
		return nil // then nobody has made any
	}
	if err != nil {
		return fmt.Errorf("iptables-save: %w", err)
	}
	for _, table := range []string{"mangle", "nat", "filter"} {
		var change bytes.Buffer
		for _, line := range machineRulesIn(string(saved), table) {
			if line.cluster == cluster || !linkExists(outsideLink(line.cluster)) {
				fmt.Fprintf(&change, "-D %s\n", line.rule)
			}
		}
		for _, r := range want {
			if r.table == table {
				fmt.Fprintf(&change, "%s %s\n", r.verb, r.rule)
			}
		}
		if change.Len() == 0 {
			continue
		}
		cmd := exec.Command("iptables-restore", "--noflush", "--wait", "5")
		cmd.Stdin = strings.NewReader("*" + table + "\n" + change.String() + "COMMIT\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("table %s: %w: %s", table, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

type savedRule struct{ cluster, rule string }

// machineRulesIn finds the rules with a cluster's comment in a table of iptables-save.
func machineRulesIn(saved, table string) (found []savedRule) {
	within := false
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "*"); ok {
			within = name == table
		}
		rule, ok := strings.CutPrefix(line, "-A ")
		_, comment, has := strings.Cut(rule, " --comment ")
		if !within || !ok || !has {
			continue
		}
		comment, _, _ = strings.Cut(comment, " ")
		if cluster, ok := strings.CutPrefix(strings.Trim(comment, `"`), ruleComment("")); ok && nameSyntax.MatchString(cluster) {
			found = append(found, savedRule{cluster, rule})
		}
	}
	return found
}

func linkExists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// forwards reports whether the machine forwards packets, without which nothing leaves a
// cluster. That is the owner's to decide: the Docker Engine switches it on, unless its settings say otherwise.
func forwards() bool {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	return errors.Is(err, fs.ErrNotExist) || strings.TrimSpace(string(data)) == "1"
}

const notForwarding = "pods reach nothing outside the cluster, since net.ipv4.ip_forward is 0 here; `sysctl -w net.ipv4.ip_forward=1` changes that"

// pointToPoint is an address of a link that has one other end.
func pointToPoint(own, peer netip.Addr) *netlink.Addr {
	return &netlink.Addr{
		IPNet: ipNet(netip.PrefixFrom(own, 32)),
		Peer:  &net.IPNet{IP: peer.AsSlice(), Mask: net.CIDRMask(32, 32)},
	}
}

// machineNSArg has the server send the questions that DNS forwards from the machine's own
// network namespace, which launch hands to it as its fourth file: the machine's name server is
// often on loopback.
const machineNSArg = "--resolver-netns=/proc/self/fd/3"

// machineNS opens the network namespace of the machine, which is the thread's.
func machineNS() (*os.File, error) {
	return os.Open(filepath.Join("/proc", "thread-self", "ns", "net"))
}
