package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
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
	Repaired func(what string) // is called with what another program has removed
	Log      *slog.Logger
}

// Routes keeps a route to every other node's pod CIDR through that node's address.
// All nodes must be on one network segment.
type Routes struct {
	cfg     RoutesConfig
	changed chan struct{}
}

// NewRoutes registers with the informer, which the caller starts.
func NewRoutes(cfg RoutesConfig) (*Routes, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Repaired == nil {
		cfg.Repaired = func(string) {}
	}
	r := &Routes{cfg: cfg, changed: make(chan struct{}, 1)}
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

// Run follows the nodes until ctx ends.
func (r *Routes) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), r.cfg.Nodes.Informer().HasSynced) {
		return ctx.Err()
	}
	var applied, known map[netip.Prefix]netip.Addr // known: once all were there
	for {
		wait := checkPeriod
		want, err := r.wanted()
		// A node writes its status every few seconds; its addresses hardly ever change.
		if err == nil && (applied == nil || !maps.Equal(want, applied)) {
			var added int
			if added, err = replaceRoutes(want); err == nil {
				if applied = want; known != nil && maps.Equal(want, known) && added > 0 {
					r.cfg.Log.Warn("routes repaired", "routes", added)
					r.cfg.Repaired(fmt.Sprintf("%d of the routes to the pods of other nodes", added))
				}
				known = want
			}
		}
		if err != nil {
			r.cfg.Log.Error("routes to other nodes", "error", err)
			applied, wait = nil, 2*time.Second
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.changed:
		case <-time.After(wait):
			applied = nil
		}
	}
}

func (r *Routes) wanted() (map[netip.Prefix]netip.Addr, error) {
	nodes, err := r.cfg.Nodes.Lister().List(labels.Everything())
	if err != nil {
		return nil, err
	}
	return routesFor(nodes, r.cfg.NodeName), nil
}

// routesFor is the routing table of node self: pod CIDR to next hop.
func routesFor(nodes []*v1.Node, self string) map[netip.Prefix]netip.Addr {
	routes := map[netip.Prefix]netip.Addr{}
	for _, n := range nodes {
		if n.Name == self {
			continue
		}
		prefix, err := netip.ParsePrefix(n.Spec.PodCIDR)
		if err != nil || !prefix.Addr().Is4() {
			continue
		}
		for _, a := range n.Status.Addresses {
			ip, err := netip.ParseAddr(a.Address)
			if a.Type == v1.NodeInternalIP && err == nil && ip.Is4() {
				routes[prefix.Masked()] = ip
				break
			}
		}
	}
	return routes
}

// replaceRoutes makes want the whole of our routes, and returns how many were missing.
func replaceRoutes(want map[netip.Prefix]netip.Addr) (added int, err error) {
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
		if err == nil && want[dst] == gw && gw.IsValid() {
			present[dst] = true
			continue
		}
		if err := netlink.RouteDel(&route); err != nil {
			errs = append(errs, fmt.Errorf("removing route to %s: %w", route.Dst, err))
		}
	}
	for dst, gw := range want {
		if present[dst] {
			continue
		}
		route := &netlink.Route{
			Dst:      &net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), 32)},
			Gw:       gw.AsSlice(),
			Protocol: RouteProtocol,
		}
		if err := netlink.RouteReplace(route); err != nil {
			errs = append(errs, fmt.Errorf("route to %s via %s: %w", dst, gw, err))
		}
		added++
	}
	return added, errors.Join(errs...)
}
