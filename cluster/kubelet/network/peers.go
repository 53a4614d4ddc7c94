package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// Mode is how packets between pods of different nodes travel.
type Mode string

// The modes of a node.
const (
	Auto       Mode = "auto"      // by a route to a node on the same link, by VXLAN to another one
	HostRoutes Mode = "routes"    // by routes only: all nodes are on one link
	VXLAN      Mode = "vxlan"     // by VXLAN to all nodes
	WireGuard  Mode = "wireguard" // encrypted by WireGuard to all nodes, which all need this mode
	None       Mode = "none"      // something else carries them
)

// ModeAnnotation is a Node's mode if it is not Auto.
const ModeAnnotation = "network.wheelhouse.dev/mode"

// ParseMode returns the mode of a name.
func ParseMode(name string) (Mode, error) {
	if m := Mode(name); slices.Contains([]Mode{Auto, HostRoutes, VXLAN, WireGuard, None}, m) {
		return m, nil
	}
	return "", fmt.Errorf("%q: want auto, routes, vxlan, wireguard or none", name)
}

// peer is what a node has to know of another one to reach its pods. A node writes its own
// address, mode and key; the API server refuses an address or a key of another node. Whatever
// else a node writes, what is sent to it is what is for its own pod CIDR.
type peer struct {
	node    string
	pods    netip.Prefix
	address netip.Addr
	mode    Mode
	key     string // of WireGuard, public
}

// peersOf returns the nodes other than self that have a pod CIDR and an address, the oldest
// first. Of two nodes with the same pod CIDR the older one has it.
func peersOf(nodes []*v1.Node, self string) []peer {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b *v1.Node) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	var peers []peer
	taken := map[netip.Prefix]bool{}
	for _, n := range nodes {
		pods, err := netip.ParsePrefix(n.Spec.PodCIDR)
		address := internalIP(n)
		if err != nil || !pods.Addr().Is4() || !address.IsValid() {
			continue
		}
		if pods = pods.Masked(); taken[pods] {
			continue
		}
		taken[pods] = true
		if n.Name == self {
			continue
		}
		mode, err := ParseMode(n.Annotations[ModeAnnotation])
		if err != nil {
			mode = Auto
		}
		peers = append(peers, peer{node: n.Name, pods: pods, address: address, mode: mode, key: n.Annotations[KeyAnnotation]})
	}
	return peers
}

// internalIP is a node's first internal IPv4 address, not valid if it has none.
func internalIP(n *v1.Node) netip.Addr {
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); a.Type == v1.NodeInternalIP && err == nil && ip.Is4() {
			return ip
		}
	}
	return netip.Addr{}
}

// position is where the machine sees an address.
type position int

const (
	unknown position = iota // there is no route to it
	onLink                  // on a link of the machine, which carries any packet
	beyond                  // behind a router, or on a link such as a VPN's, which carries only what it is configured for
	own                     // it is the machine's own
)

// path is how packets for a peer's pods leave the machine.
type path int

const (
	unreached path = iota
	direct
	tunnelled
	encrypted
)

// choose returns the path to a peer, or why there is none. Both nodes choose the same one if
// both see each other at the same position.
func choose(mode Mode, p peer, at position) (path, string) {
	switch {
	case mode == None:
		return unreached, ""
	case at == own:
		return unreached, fmt.Sprintf("its address %s is this machine's own: each node needs an address of its own (--address)", p.address)
	case p.mode == None:
		return unreached, "it runs with --pod-network none, this node with " + string(mode)
	case mode == WireGuard || p.mode == WireGuard:
		if mode != p.mode {
			return unreached, fmt.Sprintf("it runs with --pod-network %s, this node with %s: wireguard is needed on all nodes", p.mode, mode)
		}
		return encrypted, ""
	case mode == HostRoutes || p.mode == HostRoutes:
		if mode == VXLAN || p.mode == VXLAN {
			return unreached, fmt.Sprintf("it runs with --pod-network %s, this node with %s", p.mode, mode)
		}
		if at == beyond {
			return unreached, fmt.Sprintf("%s is not on a link of this machine, and --pod-network routes needs that (vxlan does not)", p.address)
		}
		return direct, ""
	case mode == VXLAN || p.mode == VXLAN || at == beyond:
		return tunnelled, ""
	}
	return direct, ""
}

// hop is where packets for a pod CIDR are sent.
type hop struct {
	via  netip.Addr // not valid: the link alone leads there
	over string     // the link; "": that of via
}

// endpoint is a peer of WireGuard: where its packets are sent, and what is accepted from it.
type endpoint struct {
	at   netip.AddrPort
	pods netip.Prefix
}

// plan is all that a node keeps in the kernel to reach the pods of others.
type plan struct {
	routes    map[netip.Prefix]hop
	vteps     map[netip.Addr]netip.Addr // a node's address in VXLAN to that of its machine
	wireguard map[key]endpoint
	unreached map[string]string // why the pods of a node are not reached
}

// vtepOf is the address of a node in VXLAN and WireGuard: that of its pod CIDR itself, which no
// pod has. The hardware address follows from it (macOf), so that there is nothing that a node
// could claim of another one.
func vtepOf(pods netip.Prefix) netip.Addr { return pods.Masked().Addr() }

// planFor computes the plan. A peer without a position is taken as on a link if it was there
// in the former plan: its link is down.
func planFor(mode Mode, self netip.Prefix, peers []peer, at func(netip.Addr) position, former plan) plan {
	p := plan{routes: map[netip.Prefix]hop{}, vteps: map[netip.Addr]netip.Addr{}, wireguard: map[key]endpoint{}, unreached: map[string]string{}}
	for _, other := range peers {
		if other.pods.Overlaps(self) {
			p.unreached[other.node] = fmt.Sprintf("its pod CIDR %s overlaps with this node's, %s", other.pods, self)
			continue
		}
		where := at(other.address)
		if where == unknown {
			if h, was := former.routes[other.pods]; was && h.over == "" {
				where = onLink
			} else {
				where = beyond
			}
		}
		chosen, why := choose(mode, other, where)
		if chosen == encrypted {
			why = p.encrypt(other)
		}
		switch {
		case why != "":
			p.unreached[other.node] = why
		case chosen == direct:
			p.routes[other.pods] = hop{via: other.address}
		case chosen == tunnelled:
			p.routes[other.pods] = hop{via: vtepOf(other.pods), over: vxlanLink}
			p.vteps[vtepOf(other.pods)] = other.address
		}
	}
	return p
}

// encrypt adds a peer of WireGuard, or returns why it cannot be one.
func (p *plan) encrypt(other peer) string {
	k, err := parseKey(other.key)
	if err != nil {
		return "it has no key of WireGuard: " + err.Error()
	}
	if _, taken := p.wireguard[k]; taken {
		return "an older node has the same key of WireGuard: if the machine is a copy, remove " + keyFile + " in its --state-dir and start it again"
	}
	p.wireguard[k] = endpoint{netip.AddrPortFrom(other.address, wireguardPort), other.pods}
	p.routes[other.pods] = hop{over: wireguardLink}
	return ""
}

// overhead is by how many bytes the packets of pods are smaller than those of the machine.
func (p *plan) overhead(mode Mode) int {
	switch {
	case mode == WireGuard:
		return wireguardOverhead
	case mode == VXLAN || len(p.vteps) > 0:
		return vxlanOverhead
	}
	return 0
}
