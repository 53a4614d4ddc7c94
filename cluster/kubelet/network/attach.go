package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

// containerLink is what the pod sees.
const containerLink = "eth0"

// Attach connects the network namespace of process pid to the bridge as eth0, with
// address ip or, if ip is zero, one that it picks. pod is the pod's uid. Attaching what is attached already only records
// the address, which is how a restarted kubelet adopts its pods.
func (n *Network) Attach(ctx context.Context, pod string, pid int, ip netip.Addr) (netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return netip.Addr{}, err
	}
	n.mu.Lock()
	bridge, mtu := n.bridge, n.mtu
	n.mu.Unlock()
	if bridge == 0 {
		return netip.Addr{}, errors.New("the pod network is not set up yet")
	}
	ns, err := namespaceOf(pid)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = ns.Close() }()
	ip, fresh, err := n.pool.take(pod, ip)
	if err != nil {
		return netip.Addr{}, err
	}
	err = n.connect(ctx, ns, pod, ip, bridge, mtu)
	if err != nil {
		if fresh {
			n.pool.release(pod)
		}
		return netip.Addr{}, fmt.Errorf("connecting pod %s as %s: %w", pod, ip, err)
	}
	return ip, nil
}

// Attached reports whether the interface of a pod, by its uid, is on this node.
func Attached(pod string) bool {
	_, err := netlink.LinkByName(linkName(pod))
	return !isGone(err)
}

// Detach removes the pod's interface, if it still exists, and frees its address.
func (n *Network) Detach(_ context.Context, pod string) error {
	l, err := netlink.LinkByName(linkName(pod))
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err = ignoreGone(err); err != nil {
		return fmt.Errorf("removing interface of pod %s: %w", pod, err)
	}
	if ip, ok := n.pool.release(pod); ok {
		n.mu.Lock()
		bridge := n.bridge
		n.mu.Unlock()
		_ = netlink.NeighDel(neighbour(bridge, ip)) // of a pod from before, there is none
	}
	return nil
}

func (n *Network) connect(ctx context.Context, ns netns.NsHandle, pod string, ip netip.Addr, bridge, mtu int) error {
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	if what, err := n.missing(inside, pod, ip, bridge); err != nil || what == "" {
		return err
	}
	l, err := netlink.LinkByName(linkName(pod))
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err = ignoreGone(err); err != nil {
		return err
	}
	if l, err := inside.LinkByName(containerLink); err == nil { // its other end is elsewhere
		if err := ignoreGone(inside.LinkDel(l)); err != nil {
			return err
		}
	}
	// Hairpin mode sends a pod's own duplicate address probe back to it, so that
	// IPv6 on the interface would come up as a duplicate. Pods have IPv4 only.
	// Pods do not accept ICMP redirects either.
	_ = Do(ns, func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/conf/all/accept_redirects", []byte("0"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/conf/default/accept_redirects", []byte("0"), 0o644))
	})

	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: linkName(pod), MTU: mtu, MasterIndex: bridge},
		PeerName:      containerLink,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(ns),

		PeerHardwareAddr: macOf(ip),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding veth: %w", err)
	}
	if err := n.configure(ctx, inside, veth, ip); err != nil {
		return errors.Join(err, ignoreGone(netlink.LinkDel(veth)))
	}
	// Last, since the alias marks a complete interface.
	return netlink.LinkSetAlias(veth, aliasOf(pod, ip))
}

func (n *Network) configure(ctx context.Context, inside *netlink.Handle, outer netlink.Link, ip netip.Addr) error {
	// A pod that reaches itself through its service comes back on its own port.
	if err := netlink.LinkSetHairpin(outer, true); err != nil {
		return fmt.Errorf("hairpin: %w", err)
	}
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return err
	}
	l, err := inside.LinkByName(containerLink)
	if err != nil {
		return err
	}
	// No route to the rest of the node's pods: they are reached through the node.
	own := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(n.cfg.PodCIDR.Bits(), 32)}, Flags: unix.IFA_F_NOPREFIXROUTE}
	if err := inside.AddrReplace(l, own); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if err := inside.LinkSetUp(l); err != nil {
		return err
	}
	gw, index := n.Gateway(), l.Attrs().Index
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: host(gw), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Dst: defaultRoute, Gw: gw.AsSlice()},
	} {
		if err := inside.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %s: %w", route.Dst, err)
		}
	}
	if err := netlink.LinkSetUp(outer); err != nil {
		return err
	}
	if err := setNeighbours(inside, index, outer, gw, ip); err != nil {
		return err
	}
	return errors.Join(WaitUp(ctx, inside.LinkByName, containerLink), WaitUp(ctx, netlink.LinkByName, outer.Attrs().Name), WaitUp(ctx, netlink.LinkByName, Bridge))
}

// setNeighbours makes ARP unnecessary on the bridge, and its answers ineffective: node and pod
// have permanent entries for each other, and the bridge one for the port of each pod.
func setNeighbours(inside *netlink.Handle, index int, outer netlink.Link, gw, ip netip.Addr) error {
	o := outer.Attrs()
	return errors.Join(
		netlink.LinkSetLearning(outer, false),
		netlink.NeighSet(&netlink.Neigh{LinkIndex: o.Index, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP, Flags: netlink.NTF_MASTER, HardwareAddr: macOf(ip)}),
		netlink.NeighSet(neighbour(o.MasterIndex, ip)),
		inside.NeighSet(neighbour(index, gw)))
}

func neighbour(link int, ip netip.Addr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: link, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: macOf(ip)}
}

func host(ip netip.Addr) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(32, 32)}
}

// WaitUp waits until the kernel has noticed, in its own time, that the link is
// connected. Before that it drops the pod's first packets, and a lost first packet
// is repeated only after a second.
func WaitUp(ctx context.Context, byName func(string) (netlink.Link, error), name string) error {
	var state netlink.LinkOperState
	err := wait.PollUntilContextTimeout(ctx, 500*time.Microsecond, 2*time.Second, true, func(context.Context) (bool, error) {
		l, err := byName(name)
		if err == nil {
			state = l.Attrs().OperState
		}
		return state == netlink.OperUp, err
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("link %s stays %s: %w", name, state, err)
	}
	return err
}

var defaultRoute = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}

// restorePool takes the addresses of all interfaces on the bridge out of the pool.
func (n *Network) restorePool() error {
	ports, err := n.ports()
	if err != nil {
		return err
	}
	for _, l := range ports {
		pod, addr, _ := strings.Cut(l.Attrs().Alias, " ")
		ip, err := netip.ParseAddr(addr)
		if err != nil {
			continue
		}
		if _, _, err := n.pool.take(pod, ip); err != nil {
			n.cfg.Log.Warn("interface on the pod bridge", "link", l.Attrs().Name, "pod", pod, "error", err)
		}
	}
	return nil
}

func (n *Network) ports() ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var ports []netlink.Link
	for _, l := range links {
		if _, isVeth := l.(*netlink.Veth); isVeth && l.Attrs().MasterIndex == n.bridge && n.bridge != 0 {
			ports = append(ports, l)
		}
	}
	return ports, nil
}

// linkName is the node's end of the pod's veth pair: interface names have 15 characters.
func linkName(pod string) string {
	sum := sha256.Sum256([]byte(pod))
	return "veth" + hex.EncodeToString(sum[:5])
}

func isGone(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

func ignoreGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}
