// Package network gives pods their addresses on one node: a bridge that holds the
// first address of the node's pod CIDR, a veth pair per pod, routes to the other
// nodes' pod CIDRs (over links, VXLAN or WireGuard: Routes) and the packet rules by which pods reach the world outside.
//
// Ports of the node can be made to lead to a pod (OpenPorts).
//
// It owns the bridge cbr0, every interface on it, the interfaces cvxlan0 and cwg0, the routes of protocol
// RouteProtocol, the set WHPEERS and the WHEELHOUSE-* chains, all in the network namespace that the
// process runs in. It never touches a container except through the network
// namespace that the caller names by pid.
//
// The kernel is the only record of who has which address: each pod's interface
// carries pod and address as its alias, so that a restarted process finds all
// addresses in use before it gives out a new one.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"wheelhouse/cluster/netfilter"
)

// Bridge is the interface that all pods of a node hang on.
const Bridge = "cbr0"

const (
	checkPeriod = 5 * time.Second // between two checks of what other programs may have removed
	setupPeriod = time.Minute     // between two complete repairs
)

// Config is the place of the node in the cluster.
type Config struct {
	PodCIDR     netip.Prefix // the node's own pods
	ClusterCIDR netip.Prefix // all nodes' pods: traffic inside keeps its source address
	NodeIP      netip.Addr   // names the interface whose MTU the pods get, less Mode's headers; may be zero
	Mode        Mode         // of Routes
	// Repaired is called with what another program has removed and Run has made again.
	Repaired func(what string)
	Log      *slog.Logger
}

// Network attaches pods to the node's network. Its methods can be called at the
// same time, but one pod's calls must follow each other.
type Network struct {
	cfg    Config
	pool   *pool
	mu     sync.Mutex // guards what setup finds
	bridge int        // link index
	mtu    int
	over   int // bytes of headers between nodes
	ready  bool
	rules  *netfilter.Applier
	open   map[string]openPorts // by the pod's uid
	opened netfilter.Generation // at which the rules of open were there
	shared map[string]int       // uses of the chains of all host ports, after the last change
}

// New returns a Network; nothing is changed on the machine before Setup.
func New(cfg Config) (*Network, error) {
	if !cfg.PodCIDR.IsValid() || !cfg.PodCIDR.Addr().Is4() || cfg.PodCIDR.Bits() > 29 {
		return nil, fmt.Errorf("pod CIDR %v: want an IPv4 network of at least 8 addresses", cfg.PodCIDR)
	}
	cfg.PodCIDR = cfg.PodCIDR.Masked()
	if !cfg.ClusterCIDR.IsValid() {
		cfg.ClusterCIDR = cfg.PodCIDR
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Repaired == nil {
		cfg.Repaired = func(string) {}
	}
	return &Network{cfg: cfg, pool: newPool(cfg.PodCIDR), over: (&plan{}).overhead(cfg.Mode)}, nil
}

// Overhead makes packets of pods smaller by the headers between nodes. Pods that are attached
// already keep their MTU: the node answers what is too large for its way with
// "fragmentation needed".
func (n *Network) Overhead(bytes int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over == bytes {
		return
	}
	n.over = bytes
	if !n.ready {
		return
	}
	if err := n.setupBridge(); err != nil { // Run tries it again
		n.cfg.Log.Error("the MTU of pods", "err", err)
	}
}

// Gateway is the bridge's address and the pods' default route.
func (n *Network) Gateway() netip.Addr { return n.pool.gateway() }

// Setup makes the bridge, sets the namespace's kernel parameters and rules, and
// observes the addresses in use. It must have succeeded once before Attach; calling
// it again repairs whatever is missing.
func (n *Network) Setup(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.setupKernel(ctx); err != nil {
		return err
	}
	if err := n.setupBridge(); err != nil {
		return fmt.Errorf("bridge %s: %w", Bridge, err)
	}
	if !n.ready { // later, an interface that is just being removed would be taken for a new one
		if err := n.restorePool(); err != nil {
			return fmt.Errorf("reading the interfaces on %s: %w", Bridge, err)
		}
	}
	if err := n.setupRules(ctx); err != nil {
		return fmt.Errorf("packet rules: %w", err)
	}
	if err := n.repairPorts(ctx); err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	n.ready = true
	return nil
}

// Run repeats Setup until ctx ends, at once where something is missing, so that a flushed table
// or a deleted bridge heals.
func (n *Network) Run(ctx context.Context) error {
	timer := time.NewTicker(checkPeriod)
	defer timer.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		n.mu.Lock()
		what, err := n.missingOfNode()
		n.mu.Unlock()
		if err == nil && what == "" && time.Since(last) < setupPeriod {
			continue
		}
		last = time.Now()
		if err := errors.Join(err, n.Setup(ctx)); err != nil {
			n.cfg.Log.Error("network setup", "err", err, "missing", what)
		} else if what != "" {
			n.cfg.Log.Warn("network repaired", "missing", what)
			n.cfg.Repaired(what)
		}
	}
}

// Cleanup removes all that Setup and Attach made, for a machine that stops being a node.
func (n *Network) Cleanup() error {
	errs := []error{nodeRules.Cleanup(context.Background()), hostPorts.Cleanup(context.Background())}
	ports, err := n.ports()
	errs = append(errs, err)
	for _, l := range ports {
		errs = append(errs, ignoreGone(netlink.LinkDel(l)))
	}
	if l, err := netlink.LinkByName(Bridge); err == nil {
		errs = append(errs, ignoreGone(netlink.LinkDel(l)))
	}
	_, err = replaceRoutes(nil, nil)
	return errors.Join(append(errs, err, removeLink(vxlanLink), removeLink(wireguardLink), newGuard().remove(context.Background()))...)
}

func (n *Network) setupBridge() error {
	n.mtu = mtuOf(n.cfg.NodeIP) - n.over
	gw := n.Gateway()
	l, err := netlink.LinkByName(Bridge)
	if isGone(err) {
		// A fixed address: by default a bridge changes its own with its ports.
		b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: Bridge, MTU: n.mtu, HardwareAddr: macOf(gw)}}
		if err := netlink.LinkAdd(b); err != nil {
			return err
		}
		l, err = netlink.LinkByName(Bridge)
	}
	if err != nil {
		return err
	}
	if l.Attrs().MTU != n.mtu {
		if err := netlink.LinkSetMTU(l, n.mtu); err != nil {
			return fmt.Errorf("MTU %d: %w", n.mtu, err)
		}
	}
	want := &net.IPNet{IP: gw.AsSlice(), Mask: net.CIDRMask(n.cfg.PodCIDR.Bits(), 32)}
	have, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, a := range have {
		if a.IPNet.String() != want.String() {
			if err := netlink.AddrDel(l, &a); err != nil {
				return err
			}
		}
	}
	if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: want}); err != nil {
		return err
	}
	n.bridge = l.Attrs().Index
	for _, p := range n.bridgeParameters() {
		if err := p.set(); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

// mtuOf is the MTU of the interface that has the address, 1500 if there is none.
func mtuOf(ip netip.Addr) int {
	const usual = 1500
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil || !ip.IsValid() {
		return usual
	}
	for _, a := range addrs {
		if got, ok := netip.AddrFromSlice(a.IP.To4()); !ok || got != ip {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		if err == nil && l.Attrs().Flags&net.FlagLoopback == 0 {
			return l.Attrs().MTU
		}
	}
	return usual
}

// macOf derives the hardware address from the IP address, so that an address that
// is used again has the same neighbour entry everywhere.
func macOf(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}
