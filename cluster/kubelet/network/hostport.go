package network

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// Chains of the ports of the node that lead to pods: one with a jump for each pod, and
// one for the answers that would not find back.
const (
	hostPortChain = "WHEELHOUSE-HOSTPORTS"
	hostMasqChain = "WHEELHOUSE-HOSTMASQ"
)

// openPorts is what one pod has open.
type openPorts struct {
	ip      netip.Addr
	ports   []v1.ContainerPort
	refused int // how many of them stay closed
}

// OpenPorts makes the pod's host ports, and no others, lead to its address: from
// anywhere, the node's own loopback included. pod is the pod's uid. Opening what is
// open changes nothing, so that a restarted kubelet opens them again. Who may have
// which port is for the scheduler; of two pods with the same one the first keeps it.
//
// A port at which a process of the node receives (the API server, the kubelet, DNS, an
// SSH server) stays closed and is returned: it would be taken away from that process. It
// is tried again by Run.
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
	return refused, forgetFlows(ports)
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
		ipt.ClearAndDeleteChain("nat", chain))
	if err != nil {
		return fmt.Errorf("closing the host ports of pod %s: %w", pod, err)
	}
	return forgetFlows(was.ports)
}

// repairPorts opens again what somebody has flushed; mu is held.
func (n *Network) repairPorts(ctx context.Context) error {
	if len(n.open) == 0 {
		return nil
	}
	ipt, err := iptables.New()
	if err != nil {
		return err
	}
	var errs []error
	for pod, have := range n.open {
		ok := false
		if exists, err := ipt.ChainExists("nat", podChain(pod)); err != nil {
			return err
		} else if exists {
			if ok, err = ipt.Exists("nat", hostPortChain, jumpTo(pod)...); err != nil {
				return err
			}
		}
		if !ok || have.refused > 0 {
			if _, err := n.applyPorts(ctx, pod); err != nil {
				errs = append(errs, err) // the other pods' ports are opened all the same
			}
		}
	}
	return errors.Join(errs...)
}

func (n *Network) applyPorts(ctx context.Context, pod string) (refused []v1.ContainerPort, err error) {
	ipt, err := iptables.New()
	if err != nil {
		return nil, err
	}
	if err := hostPortAnchors(ipt); err != nil {
		return nil, err
	}
	taken, err := readListeners()
	if err != nil {
		return nil, fmt.Errorf("the ports that the node itself has: %w", err)
	}
	// A packet for 127.0.0.1 is let out of the loopback only where this is set.
	if err := sysctl("net/ipv4/conf/"+Bridge+"/route_localnet", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	have := n.open[pod]
	chain := podChain(pod)
	var input bytes.Buffer
	fmt.Fprintf(&input, "*nat\n:%s - [0:0]\n", chain) // makes or empties it
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
			to = " -d " + ip.String()
		}
		fmt.Fprintf(&input, "-A %s%s -p %s -m %s --dport %d -j DNAT --to-destination %s\n",
			chain, to, protocol, protocol, p.HostPort, netip.AddrPortFrom(have.ip, uint16(p.ContainerPort)))
	}
	input.WriteString("COMMIT\n")
	have.refused = len(refused)
	n.open[pod] = have
	cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait=5")
	cmd.Stdin = &input
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("iptables-restore: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := ipt.AppendUnique("nat", hostPortChain, jumpTo(pod)...); err != nil {
		return nil, err
	}
	if err := dropMasquerade(ipt, pod); err != nil {
		return nil, err
	}
	return refused, ipt.Append("nat", hostMasqChain, masquerade(pod, have.ip)...)
}

// hostPortAnchors: packets for an address of the node itself are looked at when they
// come in and when they start here; those from the loopback take the node's address, as
// the pod could not answer them.
func hostPortAnchors(ipt *iptables.IPTables) error {
	for _, chain := range []string{hostPortChain, hostMasqChain} {
		ok, err := ipt.ChainExists("nat", chain)
		if err == nil && !ok {
			err = ipt.NewChain("nat", chain)
		}
		if err != nil {
			return err
		}
	}
	local := []string{"-m", "addrtype", "--dst-type", "LOCAL", "-j", hostPortChain}
	return errors.Join(
		ipt.AppendUnique("nat", "PREROUTING", local...),
		ipt.AppendUnique("nat", "OUTPUT", local...),
		ipt.AppendUnique("nat", "POSTROUTING", "-j", hostMasqChain),
		ipt.AppendUnique("nat", hostMasqChain, "-s", "127.0.0.0/8", "-o", Bridge, "-j", "MASQUERADE"))
}

func jumpTo(pod string) []string {
	return []string{"-m", "comment", "--comment", "host ports of pod " + pod, "-j", podChain(pod)}
}

// masquerade is for a pod that reaches itself through the node.
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

// podChain is the pod's chain: names have 28 characters.
func podChain(pod string) string {
	sum := sha256.Sum256([]byte(pod))
	return "WHEELHOUSE-HP-" + strings.ToUpper(hex.EncodeToString(sum[:6]))
}

// forgetFlows drops the kernel's memory of UDP clients of the ports: they would be led
// on to where the ports led before.
func forgetFlows(ports []v1.ContainerPort) error {
	f := udpTo{}
	for _, p := range ports {
		if p.Protocol == v1.ProtocolUDP {
			f[uint16(p.HostPort)] = true
		}
	}
	if len(f) == 0 {
		return nil
	}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, f); err != nil {
		return fmt.Errorf("forgetting UDP flows: %w", err)
	}
	return nil
}

type udpTo map[uint16]bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (u udpTo) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return flow.Forward.Protocol == unix.IPPROTO_UDP && u[flow.Forward.DstPort]
}

// removeHostPorts removes all of it.
func removeHostPorts() error {
	ipt, err := iptables.New()
	if err != nil {
		return err
	}
	local := []string{"-m", "addrtype", "--dst-type", "LOCAL", "-j", hostPortChain}
	var errs []error
	for _, a := range []struct {
		anchor, chain string
		rule          []string
	}{
		{"PREROUTING", hostPortChain, local},
		{"OUTPUT", hostPortChain, local},
		{"POSTROUTING", hostMasqChain, []string{"-j", hostMasqChain}},
	} {
		if ok, err := ipt.ChainExists("nat", a.chain); err != nil || !ok {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, ipt.DeleteIfExists("nat", a.anchor, a.rule...))
	}
	chains, err := ipt.ListChains("nat")
	errs = append(errs, err)
	var own []string
	for _, c := range chains {
		if c == hostPortChain || c == hostMasqChain || strings.HasPrefix(c, "WHEELHOUSE-HP-") {
			own = append(own, c)
			errs = append(errs, ipt.ClearChain("nat", c))
		}
	}
	for _, c := range own {
		errs = append(errs, ipt.DeleteChain("nat", c))
	}
	return errors.Join(errs...)
}
