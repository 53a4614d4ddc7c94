package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// RouteProtocol marks our routes in the kernel's table, so that stale ones are
// found after a restart and no other is touched.
const RouteProtocol = 87

// RoutesConfig is what routes are kept for.
type RoutesConfig struct {
	Nodes    coreinformers.NodeInformer
	NodeName string
	NodeIP   netip.Addr   // from which this machine sends to others
	PodCIDR  netip.Prefix // of this node
	Mode     Mode         // "": Auto
	Key      wgtypes.Key  // private, for WireGuard
	// Overhead is called, at a change, with by how many bytes the packets of pods have to be
	// smaller than the machine's.
	Overhead func(bytes int)
	Repaired func(what string) // is called with what another program has removed
	Log      *slog.Logger
}

// Routes keeps routes to every other node's pod CIDR: through that node's address where the machines
// share a link, and through VXLAN or WireGuard where they do not or where Mode says so. It owns
// the interfaces cvxlan0 and cwg0 with their entries and peers.
type Routes struct {
	cfg     RoutesConfig
	changed chan struct{}
	guard   *guard
	former  plan
	logged  map[string]string // of nodes that are not reached: the reason in the log
}

// NewRoutes registers with the informer, which the caller starts.
func NewRoutes(cfg RoutesConfig) (*Routes, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Mode == "" {
		cfg.Mode = Auto
	}
	if cfg.Repaired == nil {
		cfg.Repaired = func(string) {}
	}
	if cfg.Overhead == nil {
		cfg.Overhead = func(int) {}
	}
	r := &Routes{cfg: cfg, changed: make(chan struct{}, 1), guard: newGuard()}
	poke := func(any) {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	_, err := cfg.Nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: poke, UpdateFunc: func(_, obj any) { poke(obj) }, DeleteFunc: poke,
	})
	return r, err
}

// Run follows the nodes, and the machine's own links every few seconds, until ctx ends.
func (r *Routes) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), r.cfg.Nodes.Informer().HasSynced) {
		return ctx.Err()
	}
	var applied, settled bool // settled: the former plan was there completely once
	missing := 0              // of a settled plan, also in attempts that failed
	checks := time.NewTicker(checkPeriod)
	defer checks.Stop()
	for {
		var retry <-chan time.Time
		want, err := r.wanted()
		same := samePlan(want, r.former)
		// A node writes its status every few seconds; its addresses hardly ever change.
		if err == nil && (!applied || !same) {
			if settled = settled && same; !settled {
				missing = 0
			}
			var added int
			added, err = r.apply(ctx, want)
			r.former, applied, missing = want, err == nil, missing+added
			if applied && settled && missing > 0 {
				r.cfg.Log.Warn("routes repaired", "routes", missing)
				r.cfg.Repaired(fmt.Sprintf("%d of the routes to the pods of other nodes", missing))
			}
			if applied {
				settled, missing = true, 0
			}
		}
		if err != nil {
			r.cfg.Log.Error("routes to other nodes", "error", err)
			applied, retry = false, time.After(2*time.Second)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.changed:
		case <-retry:
		case <-checks.C: // however often nodes change
			applied = false
		}
	}
}

func samePlan(a, b plan) bool {
	return maps.Equal(a.routes, b.routes) && maps.Equal(a.vteps, b.vteps) && maps.Equal(a.wireguard, b.wireguard)
}

// wanted is the plan for the nodes and links as they are now. It logs which nodes' pods are not
// reached, once for each reason.
func (r *Routes) wanted() (plan, error) {
	nodes, err := r.cfg.Nodes.Lister().List(labels.Everything())
	if err != nil {
		return plan{}, err
	}
	var looked positions
	want := planFor(r.cfg.Mode, r.cfg.PodCIDR, peersOf(nodes, r.cfg.NodeName), looked.of, r.former)
	for _, node := range slices.Sorted(maps.Keys(want.unreached)) {
		if why := want.unreached[node]; r.logged[node] != why {
			r.cfg.Log.Warn("the pods of another node are not reached", "node", node, "reason", why)
		}
	}
	r.logged = want.unreached
	return want, nil
}

// apply makes want the whole of what is in the kernel, and returns how much was missing. An
// interface that nothing uses is removed.
func (r *Routes) apply(ctx context.Context, want plan) (added int, err error) {
	mtu, index := mtuOf(r.cfg.NodeIP), map[string]int{"": 0}
	var errs []error
	if r.cfg.Mode == VXLAN || len(want.vteps) > 0 {
		machines := slices.Collect(maps.Values(want.vteps))
		i, made, err := setupVXLAN(r.cfg.PodCIDR, r.cfg.NodeIP, mtu-vxlanOverhead)
		if err == nil {
			index[vxlanLink] = i
			var mended bool
			if mended, err = r.guard.apply(ctx, machines); mended {
				r.cfg.Log.Warn("packet rules repaired", "chain", peersChain, "set", peersSet)
				r.cfg.Repaired("the rules that let packets of VXLAN in from nodes")
			}
		}
		if made {
			added++
		}
		errs = append(errs, wrap("interface "+vxlanLink, err))
		if err == nil {
			n, err := replaceVTEPs(i, want.vteps)
			added += n
			errs = append(errs, err)
		}
	} else {
		errs = append(errs, removeLink(vxlanLink), r.guard.remove(ctx))
	}
	if r.cfg.Mode == WireGuard {
		i, n, err := setupWireGuard(ctx, r.cfg.PodCIDR, r.cfg.Key, mtu-wireguardOverhead, want.wireguard)
		added += n
		if err == nil {
			index[wireguardLink] = i
		}
		errs = append(errs, err)
	} else {
		errs = append(errs, removeLink(wireguardLink))
	}
	r.cfg.Overhead(want.overhead(r.cfg.Mode))
	n, err := replaceRoutes(want.routes, index)
	return added + n, errors.Join(append(errs, err)...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// removeLink removes an interface of ours if it is there.
func removeLink(name string) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	return wrap("removing "+name, ignoreGone(err))
}

// positions finds where the machine sees addresses, as its routes are at the time.
type positions struct{ plain map[int]bool } // by link: it carries any packet to any machine on it

func (p *positions) of(address netip.Addr) position {
	routes, err := netlink.RouteGet(address.AsSlice())
	if err != nil || len(routes) == 0 {
		return unknown
	}
	route := routes[0]
	switch {
	case route.Type == unix.RTN_LOCAL:
		return own
	case len(route.Gw) == 0 && len(route.MultiPath) == 0 && p.carries(route.LinkIndex):
		return onLink
	}
	return beyond
}

// carries reports whether a link is like Ethernet. That of a VPN leads to a machine, too, but
// carries only what both ends expect.
func (p *positions) carries(index int) bool {
	if is, looked := p.plain[index]; looked {
		return is
	}
	l, err := netlink.LinkByIndex(index)
	is := err == nil && l.Attrs().Flags&net.FlagBroadcast != 0 && l.Attrs().Flags&net.FlagPointToPoint == 0 && l.Attrs().RawFlags&unix.IFF_NOARP == 0
	if p.plain == nil {
		p.plain = map[int]bool{}
	}
	p.plain[index] = is
	return is
}

// replaceRoutes makes want the whole of our routes, and returns how many were missing. index has
// those of the links that routes name.
func replaceRoutes(want map[netip.Prefix]hop, index map[string]int) (added int, err error) {
	filter := &netlink.Route{Protocol: RouteProtocol}
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return 0, fmt.Errorf("listing routes: %w", err)
	}
	var errs []error
	present := map[netip.Prefix]bool{}
	for _, route := range have {
		dst, err := netip.ParsePrefix(route.Dst.String())
		gw, _ := netip.AddrFromSlice(route.Gw.To4())
		h, wanted := want[dst]
		if err == nil && wanted && h.via == gw && (h.over == "" || index[h.over] == route.LinkIndex) {
			present[dst] = true
			continue
		}
		if wanted && index[h.over] != 0 {
			continue // it is replaced below
		}
		if err := netlink.RouteDel(&route); err != nil {
			errs = append(errs, fmt.Errorf("removing route to %s: %w", route.Dst, err))
		}
	}
	for dst, h := range want {
		if present[dst] {
			continue
		}
		route := &netlink.Route{
			Dst:      &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), 32)},
			Protocol: RouteProtocol, LinkIndex: index[h.over],
		}
		switch {
		case h.over != "" && route.LinkIndex == 0:
			continue // the link's error says it
		case h.over == "":
			route.Gw = h.via.AsSlice()
		case h.via.IsValid():
			route.Gw = h.via.AsSlice()
			route.SetFlag(netlink.FLAG_ONLINK)
		default:
			route.Scope = netlink.SCOPE_LINK
		}
		if err := netlink.RouteReplace(route); err != nil {
			errs = append(errs, fmt.Errorf("route to %s via %s: %w", dst, h.via, err))
		}
		added++
	}
	return added, errors.Join(errs...)
}
