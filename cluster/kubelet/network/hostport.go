package network

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/netfilter"
)

// Chains of the pods' host ports: one with a jump for each pod, and one that masquerades what
// a pod could not reply to.
const (
	hostPortChain = "WHEELHOUSE-HOSTPORTS"
	hostMasqChain = "WHEELHOUSE-HOSTMASQ"
)

// hostPorts are the chains of host ports. Packets for an address of the node itself pass them,
// incoming and local ones.
var hostPorts = &netfilter.Owner{
	Tables: []string{"nat"},
	Chains: []string{hostPortChain, hostMasqChain, "WHEELHOUSE-HP-"},
	Anchors: []netfilter.Anchor{
		{Table: "nat", Chain: "PREROUTING", Rule: []string{"-m", "addrtype", "--dst-type", "LOCAL", "-j", hostPortChain}},
		{Table: "nat", Chain: "OUTPUT", Rule: []string{"-m", "addrtype", "--dst-type", "LOCAL", "-j", hostPortChain}},
		{Table: "nat", Chain: "POSTROUTING", Rule: []string{"-j", hostMasqChain}},
	},
}

// openPorts is what one pod has open.
type openPorts struct {
	ip      netip.Addr
	ports   []v1.ContainerPort
	refused int // how many of them stay closed
	rules   int // in the pod's chain
}

// OpenPorts translates the pod's host ports, and no others, to its address: from anywhere, the
// node's own loopback included. pod is the pod's uid. It is idempotent, so that a
// restarted kubelet opens them again. The scheduler decides which pod has which port; of
// two pods with the same one the first keeps it.
//
// A port on which a process of the node listens (the API server, the kubelet, DNS, an SSH
// server) stays closed and is returned, or that process would lose it. Run retries it.
func (n *Network) OpenPorts(ctx context.Context, pod string, ip netip.Addr, ports []v1.ContainerPort) (refused []v1.ContainerPort, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		n.open = map[string]openPorts{}
	}
	n.open[pod] = openPorts{ip: ip, ports: ports}
	if refused, err = n.applyPorts(ctx, pod); err != nil {
		return nil, fmt.Errorf("opening the host ports of pod %s: %w", pod, err)
	}
	return refused, deleteFlows(ports)
}

// ClosePorts undoes OpenPorts; a pod without open ports is no error.
func (n *Network) ClosePorts(_ context.Context, pod string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.open[pod]
	delete(n.open, pod)
	ipt, err := iptables.New()
	if err != nil {
		return err
	}
	chain := podChain(pod)
	if ok, err := ipt.ChainExists("nat", chain); err != nil || !ok {
		return err
	}
	err = errors.Join(
		ipt.DeleteIfExists("nat", hostPortChain, jumpTo(pod)...),
		dropMasquerade(ipt, pod),
		ipt.ClearAndDeleteChain("nat", chain),
		n.countShared())
	if err != nil {
		return fmt.Errorf("closing the host ports of pod %s: %w", pod, err)
	}
	return deleteFlows(was.ports)
}

// repairPorts opens again what another process has closed, and tries those that were refused; mu is held.
func (n *Network) repairPorts(ctx context.Context) error {
	if len(n.open) == 0 {
		return nil
	}
	intact, err := n.portsIntact()
	if err != nil {
		return err
	}
	var errs []error
	for pod, have := range n.open {
		if !intact || have.refused > 0 {
			if _, err := n.applyPorts(ctx, pod); err != nil {
				errs = append(errs, err) // the other pods' ports are opened all the same
			}
		}
	}
	return errors.Join(errs...)
}

// portsIntact reports whether the chains of all pods' host ports, and those that they share, have the rules and jumps that were
// written, by their number; mu is held.
func (n *Network) portsIntact() (bool, error) {
	uses, err := hostPorts.Uses()
	if err != nil {
		return false, err
	}
	nat := uses["nat"]
	for pod, have := range n.open {
		if nat[podChain(pod)] != have.rules+1 {
			return false, nil
		}
	}
	// Those of pods that an earlier process has left, which are not known here, are counted in shared. What was removed before
	// that was counted is less than what the known ones need.
	for chain, least := range map[string]int{hostPortChain: 2 + len(n.open), hostMasqChain: 2 + len(n.open)} {
		if nat[chain] < least || nat[chain] != n.shared[chain] {
			return false, nil
		}
	}
	return true, nil
}

// countShared keeps how often the chains are used that host ports share, after a change of them; mu is held.
func (n *Network) countShared() error {
	uses, err := hostPorts.Uses()
	if err != nil {
		return err
	}
	n.shared = map[string]int{}
	for _, chain := range []string{hostPortChain, hostMasqChain} {
		n.shared[chain] = uses["nat"][chain]
	}
	return nil
}

func (n *Network) applyPorts(ctx context.Context, pod string) (refused []v1.ContainerPort, err error) {
	ipt, err := iptables.New()
	if err != nil {
		return nil, err
	}
	if err := ensureHostPorts(ipt); err != nil {
		return nil, err
	}
	taken, err := readListeners()
	if err != nil {
		return nil, fmt.Errorf("ports of the node's processes: %w", err)
	}
	for _, p := range n.bridgeParameters() {
		if err := p.set(); err != nil && !errors.Is(err, fs.ErrNotExist) { // without a bridge, Setup sets them
			return nil, err
		}
	}
	have := n.open[pod]
	chain := podChain(pod)
	var rules strings.Builder
	for _, p := range have.ports {
		protocol := cmp.Or(strings.ToLower(string(p.Protocol)), "tcp")
		if taken.has(protocol, p) {
			refused = append(refused, p)
			continue
		}
		to := ""
		ip, err := netip.ParseAddr(p.HostIP)
		if err == nil && ip.Is6() && !ip.IsUnspecified() {
			refused = append(refused, p) // pods have no IPv6
			continue
		}
		if err == nil && !ip.IsUnspecified() {
			to = "-d " + ip.String()
		}
		netfilter.WriteRule(&rules, chain, to, fmt.Sprintf("-p %s -m %s --dport %d -j DNAT --to-destination %s",
			protocol, protocol, p.HostPort, netip.AddrPortFrom(have.ip, uint16(p.ContainerPort))))
	}
	have.refused, have.rules = len(refused), len(have.ports)-len(refused)
	n.open[pod] = have
	if err := netfilter.Write(ctx, netfilter.Tables{"nat": {chain: rules.String()}}); err != nil {
		return nil, err
	}
	if err := ipt.AppendUnique("nat", hostPortChain, jumpTo(pod)...); err != nil {
		return nil, err
	}
	if err := dropMasquerade(ipt, pod); err != nil {
		return nil, err
	}
	if err := ipt.Append("nat", hostMasqChain, masquerade(pod, have.ip)...); err != nil {
		return nil, err
	}
	return refused, n.countShared()
}

// ensureHostPorts creates the chains and anchors that are missing. Packets from the loopback
// are masqueraded: the pod could not reply to them.
func ensureHostPorts(ipt *iptables.IPTables) error {
	for _, chain := range []string{hostPortChain, hostMasqChain} {
		ok, err := ipt.ChainExists("nat", chain)
		if err == nil && !ok {
			err = ipt.NewChain("nat", chain)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(
		hostPorts.Anchor(ipt),
		ipt.AppendUnique("nat", hostMasqChain, "-s", "127.0.0.0/8", "-o", Bridge, "-j", "MASQUERADE"))
}

func jumpTo(pod string) []string {
	return []string{"-m", "comment", "--comment", "host ports of pod " + pod, "-j", podChain(pod)}
}

// masquerade returns the rule for a pod that connects to itself through the node.
func masquerade(pod string, ip netip.Addr) []string {
	return []string{"-s", ip.String(), "-d", ip.String(), "-m", "comment", "--comment", pod, "-j", "MASQUERADE"}
}

// dropMasquerade removes the pod's rule, whatever address it had then.
func dropMasquerade(ipt *iptables.IPTables, pod string) error {
	rules, err := ipt.List("nat", hostMasqChain)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range rules {
		fields := strings.Fields(strings.ReplaceAll(r, `"`, ""))
		if len(fields) > 4 && strings.Contains(" "+strings.Join(fields, " ")+" ", " --comment "+pod+" ") {
			errs = append(errs, ipt.Delete("nat", hostMasqChain, fields[2:]...))
		}
	}
	return errors.Join(errs...)
}

// podChain returns the name of the pod's chain: names have up to 28 characters.
func podChain(pod string) string {
	sum := sha256.Sum256([]byte(pod))
	return "WHEELHOUSE-HP-" + strings.ToUpper(hex.EncodeToString(sum[:6]))
}

// deleteFlows deletes the UDP flows to the ports, which would continue to the former
// destination.
func deleteFlows(ports []v1.ContainerPort) error {
	udp := map[uint16]bool{}
	for _, p := range ports {
		if p.Protocol == v1.ProtocolUDP {
			udp[uint16(p.HostPort)] = true
		}
	}
	if len(udp) == 0 {
		return nil
	}
	return netfilter.DeleteUDPFlows(func(f *netlink.ConntrackFlow) bool { return udp[f.Forward.DstPort] })
}
