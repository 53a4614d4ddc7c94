package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/network"
)

// hostLink returns the name of the machine's interface to the cluster's LAN.
func hostLink(cluster string) string { return linkName("wh-", cluster) }

// linkName returns the name of an interface of the machine, at most 15 characters.
func linkName(prefix, cluster string) string {
	if name := prefix + cluster; len(name) <= 15 {
		return name
	}
	sum := sha256.Sum256([]byte(cluster))
	return prefix + hex.EncodeToString(sum[:6])
}

// buildNetwork creates the namespaces, links, addresses and routes that are missing.
func buildNetwork(ctx context.Context, r record, allowHostAccess bool) error {
	l, err := openLAN(r)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.buildHostGate(ctx, allowHostAccess); err != nil {
		return fmt.Errorf("connecting nodes and the machine in %s: %w", r.lanNS(), err)
	}
	if err := l.connectOutside(ctx, allowHostAccess); err != nil {
		return fmt.Errorf("the way out of %s: %w", r.lanNS(), err)
	}
	var all errgroup.Group
	all.Go(func() error { return l.connectHost(ctx) })
	for _, n := range r.nodes() {
		all.Go(func() error {
			if err := l.connectNode(ctx, n); err != nil {
				return fmt.Errorf("node %s: %w", n.Name, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// connectHost connects the machine's own namespace, with routes to pods and services.
func (l *lan) connectHost(ctx context.Context) error {
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
	link, err := l.join(ctx, l.gate, hostPort, hostLink(l.Name), own, h, netip.PrefixFrom(l.Subnets.host(), l.Subnets.LAN.Bits()))
	if err != nil {
		return fmt.Errorf("interface %s: %w", hostLink(l.Name), err)
	}
	if err := withoutIPv6(hostLink(l.Name)); err != nil {
		return fmt.Errorf("IPv6 on interface %s: %w", hostLink(l.Name), err)
	}
	for _, n := range l.nodes() {
		if err := replaceRoute(h, link, n.PodCIDR, n.IP); err != nil {
			return err
		}
	}
	return replaceRoute(h, link, l.Subnets.Services, l.Subnets.node(0).IP)
}

func (l *lan) connectNode(ctx context.Context, n Node) error {
	ns, err := openNS(l.nodeNS(n))
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := l.join(ctx, l.bridge, n.Name, nodeLink, ns, h, netip.PrefixFrom(n.IP, l.Subnets.LAN.Bits()))
	if err != nil {
		return err
	}
	if n.Master { // a second address: the API server has port 443 of the first
		at := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(l.Subnets.ingress(), l.Subnets.LAN.Bits()))}
		if err := h.AddrReplace(link, at); err != nil {
			return fmt.Errorf("the address of Ingresses: %w", err)
		}
	}
	// A connection to a service needs a route before the proxy's rules apply.
	if err := replaceRoute(h, link, l.Subnets.Services, netip.Addr{}); err != nil {
		return err
	}
	if !l.Isolated {
		return replaceRoute(h, link, everywhere, l.Subnets.gateway())
	}
	// Without a default route connections out of the cluster fail at once.
	err = h.RouteDel(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(everywhere), Gw: l.Subnets.gateway().AsSlice()})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("default route: %w", err)
	}
	return nil
}

// join connects a namespace to a bridge: port is the interface there, name that in the
// namespace, which is the one of h.
func (l *lan) join(ctx context.Context, bridge netlink.Link, port, name string, ns netns.NsHandle, h *netlink.Handle, ip netip.Prefix) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	_, portErr := l.h.LinkByName(port)
	if err != nil || portErr != nil {
		if err == nil {
			if err := h.LinkDel(link); err != nil { // its peer is not in this LAN
				return nil, err
			}
		}
		veth := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: bridge.Attrs().Index},
			PeerName:  name, PeerNamespace: netlink.NsFd(ns),
		}
		if err := l.h.LinkAdd(veth); err != nil {
			return nil, err
		}
		if link, err = h.LinkByName(name); err != nil {
			return nil, err
		}
	}
	want := &netlink.Addr{IPNet: ipNet(ip)}
	if err := h.AddrReplace(link, want); err != nil {
		return nil, err
	}
	outer, err := l.h.LinkByName(port)
	if err != nil {
		return nil, err
	}
	if outer.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := l.h.LinkSetMaster(outer, bridge); err != nil {
			return nil, err
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return nil, err
	}
	if err := l.h.LinkSetUp(outer); err != nil {
		return nil, err
	}
	return link, errors.Join(network.WaitUp(ctx, h.LinkByName, name), network.WaitUp(ctx, l.h.LinkByName, port), network.WaitUp(ctx, l.h.LinkByName, bridge.Attrs().Name))
}

// replaceRoute sets a route over the link, through gw if that is given.
func replaceRoute(h *netlink.Handle, link netlink.Link, dst netip.Prefix, gw netip.Addr) error {
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(dst)}
	if gw.IsValid() {
		route.Gw = gw.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := h.RouteReplace(route); err != nil {
		return fmt.Errorf("route to %s: %w", dst, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// dropNode removes one node's namespace, link and route.
func dropNode(r record, n Node) error {
	l, err := openLAN(r)
	if err != nil {
		return err
	}
	defer l.close()
	var errs []error
	if port, err := l.h.LinkByName(n.Name); err == nil {
		errs = append(errs, l.h.LinkDel(port))
	}
	err = netlink.RouteDel(&netlink.Route{Dst: ipNet(n.PodCIDR), Gw: n.IP.AsSlice()})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		errs = append(errs, fmt.Errorf("route to %s: %w", n.PodCIDR, err))
	}
	return errors.Join(append(errs, removeNS(r.nodeNS(n)))...)
}

// removeNetwork removes all namespaces, and the machine's interfaces and rules of a cluster,
// with or without a record of it. The kernel removes the routes with the interfaces.
func removeNetwork(cluster string) error {
	var errs []error
	for _, name := range []string{hostLink(cluster), outsideLink(cluster)} {
		if l, err := netlink.LinkByName(name); err == nil {
			if err := netlink.LinkDel(l); err != nil {
				errs = append(errs, fmt.Errorf("interface %s: %w", name, err))
			}
		}
	}
	errs = append(errs, setMachineRules(cluster, nil)) // after the interface, from which packets come
	names, err := clusterNS(cluster)
	errs = append(errs, err)
	for _, name := range names {
		errs = append(errs, removeNS(name))
	}
	return errors.Join(append(errs, removeNames())...)
}
