package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"wheelhouse/cluster/netfilter"
)

// Chains that this package fills. The proxy's are named KUBE-*.
const (
	masqueradeChain = "WHEELHOUSE-MASQ"
	forwardChain    = "WHEELHOUSE-FORWARD"
	firewallChain   = "WHEELHOUSE-FIREWALL"
)

// bridged is the parameter by which packets on the bridge pass the packet rules.
const bridged = "net/bridge/bridge-nf-call-iptables"

// setupKernel sets the namespace's parameters that pod traffic depends on.
func (n *Network) setupKernel(ctx context.Context) error {
	if err := sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	// A pod that reaches another on the same bridge through a service gets its
	// answer back through the bridge: the address translation must see that too.
	err := sysctl(bridged, "1")
	if errors.Is(err, fs.ErrNotExist) {
		// The module may just not be loaded; modprobe's error is less clear than that of the second attempt.
		_ = exec.CommandContext(ctx, "modprobe", "br_netfilter").Run()
		err = sysctl(bridged, "1")
	}
	if err != nil {
		return fmt.Errorf("%w: load the kernel module br_netfilter", err)
	}
	return nil
}

// parameter is one of the kernel, below /proc/sys.
type parameter struct {
	name, value string
	optional    bool // a kernel may not have it
}

func (p *parameter) set() error {
	err := sysctl(p.name, p.value)
	if p.optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// holds reports whether the kernel has the value.
func (p *parameter) holds() (bool, error) {
	value, err := os.ReadFile("/proc/sys/" + p.name)
	if p.optional && errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return strings.TrimSpace(string(value)) == p.value, err
}

// bridgeParameters disable ICMP redirects to pods that reach each other through the node, the
// forwarding of packets whose source is not on this node, and IPv6 router advertisements to
// the node (CVE-2020-10749): pods have IPv4 only. A kernel without IPv6 needs no setting. With host ports, a
// packet for 127.0.0.1 leaves the loopback to a pod. mu is held.
func (n *Network) bridgeParameters() []parameter {
	all := []parameter{
		{name: "net/ipv4/conf/" + Bridge + "/rp_filter", value: "1"},
		{name: "net/ipv4/conf/" + Bridge + "/send_redirects", value: "0"},
		{name: "net/ipv4/conf/all/send_redirects", value: "0"},
		{name: "net/ipv6/conf/" + Bridge + "/accept_ra", value: "0", optional: true},
		{name: "net/ipv6/conf/" + Bridge + "/disable_ipv6", value: "1", optional: true},
	}
	if len(n.open) > 0 {
		all = append(all, parameter{name: "net/ipv4/conf/" + Bridge + "/route_localnet", value: "1"})
	}
	return all
}

// sysctl writes a parameter below /proc/sys if it has another value: in a
// container the file can be read-only and right.
func sysctl(name, value string) error {
	path := "/proc/sys/" + name
	have, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(have)) == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0o644)
}

// nodeRules are the chains of the pod network.
var nodeRules = &netfilter.Owner{
	Tables: []string{"nat", "filter"},
	Chains: []string{masqueradeChain, forwardChain, firewallChain},
	Anchors: []netfilter.Anchor{
		{Table: "nat", Chain: "POSTROUTING", Rule: []string{"-j", masqueradeChain}},
		{Table: "filter", Chain: "FORWARD", Rule: []string{"-j", forwardChain}},
		{Table: "filter", Chain: "INPUT", Rule: []string{"-j", firewallChain}},
	},
}

// setupRules writes the rules of the pod network. Pod traffic that leaves the pod networks is
// masqueraded, since other hosts have no route back; forwarding for pods is accepted
// even if Docker has set the policy to DROP. Other hosts do not reach the node's loopback,
// although host ports there need route_localnet (CVE-2020-8558).
func (n *Network) setupRules(ctx context.Context) error {
	if n.rules == nil {
		var err error
		if n.rules, err = netfilter.NewApplier(nodeRules); err != nil {
			return err
		}
	}
	n.rules.Forget()
	all := n.cfg.ClusterCIDR.String()
	return n.rules.Apply(ctx, netfilter.Tables{
		"nat": {
			masqueradeChain: netfilter.Rule(masqueradeChain, "-s "+n.cfg.PodCIDR.String(), "! -d "+all, "! -o "+Bridge, "-m addrtype ! --dst-type LOCAL", "-j MASQUERADE"),
		},
		"filter": {
			forwardChain:  netfilter.Rule(forwardChain, "-s "+all, "-j ACCEPT") + netfilter.Rule(forwardChain, "-d "+all, "-j ACCEPT"),
			firewallChain: netfilter.Rule(firewallChain, "! -i lo -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"),
		},
	})
}
