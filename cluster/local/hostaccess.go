package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/proxy"
)

// The machine is not on the bridge of the nodes but on one of its own, which a veth pair
// joins to that. Only what passes between the two goes through packet rules.
const (
	gateBridge = "br1"
	gateInner  = "gate0" // on the bridge of the nodes
	gateOuter  = "gate1"
)

// newToHost drops packets that start a connection to the machine, or through it. Replies to
// the machine's connections to nodes, pods and services pass.
var newToHost = []string{
	"-m", "physdev", "--physdev-is-bridged", "--physdev-out", hostPort,
	"-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED", "-j", "DROP",
}

func (l *lan) buildHostGate(ctx context.Context, allowHostAccess bool) error {
	var err error
	if l.gate, err = ensureBridge(l.h, gateBridge); err != nil {
		return err
	}
	if _, err := l.h.LinkByName(gateInner); err != nil {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: gateInner}, PeerName: gateOuter}
		if err := l.h.LinkAdd(pair); err != nil {
			return err
		}
	}
	for name, on := range map[string]netlink.Link{gateInner: l.bridge, gateOuter: l.gate} {
		end, err := l.h.LinkByName(name)
		if err != nil {
			return err
		}
		if err := errors.Join(l.h.LinkSetMaster(end, on), l.h.LinkSetUp(end)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return errors.Join(
		network.Do(l.ns, func() error { return setGateRules(allowHostAccess) }),
		network.WaitUp(ctx, l.h.LinkByName, gateInner), network.WaitUp(ctx, l.h.LinkByName, gateOuter))
}

func setGateRules(allowHostAccess bool) error {
	const loaded = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if _, err := os.Stat(loaded); errors.Is(err, fs.ErrNotExist) {
		if out, err := exec.Command("modprobe", "br_netfilter").CombinedOutput(); err != nil {
			return fmt.Errorf("the kernel module br_netfilter: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	if out, err := exec.Command("ip", "link", "set", gateBridge, "type", "bridge", "nf_call_iptables", "1").CombinedOutput(); err != nil {
		return fmt.Errorf("filtering on %s: %w: %s", gateBridge, err, bytes.TrimSpace(out))
	}
	ipt, err := iptables.New()
	if err != nil {
		return err
	}
	if allowHostAccess {
		return ipt.DeleteIfExists("filter", "FORWARD", newToHost...)
	}
	return ipt.AppendUnique("filter", "FORWARD", newToHost...)
}

// keepReachable accepts connections to the API server before any rules of services that an
// earlier process has left in the master's namespace: without the API server no proxy could
// replace them.
func keepReachable(r record) error {
	master := r.Subnets.node(0)
	ns, err := netns.GetFromPath(filepath.Join(netnsDir, r.nodeNS(master)))
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	return network.Do(ns, func() error { return proxy.KeepReachable(netip.AddrPortFrom(master.IP, apiPort)) })
}
