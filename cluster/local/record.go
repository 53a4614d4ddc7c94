package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// record is what stays the same over the life of a cluster, in cluster.json.
type record struct {
	Name    string  `json:"name"`
	Nodes   int     `json:"nodes"` // minions
	Subnets Subnets `json:"subnets"`
	Class   bool    `json:"class,omitempty"` // its users are not trusted with its nodes

	Pool     []string `json:"loadBalancerPool,omitempty"`
	Isolated bool     `json:"isolated,omitempty"` // nothing leaves it
	Mirror   Mirror   `json:"imageMirror,omitzero"`
	Sealed   bool     `json:"sealed,omitempty"` // whoever administers its API is not trusted with the machine
}

// nodes returns the nodes that have a namespace, the master included.
func (r record) nodes() []Node {
	var list []Node
	for n := range r.Nodes + 1 {
		list = append(list, r.Subnets.node(n))
	}
	return list
}

func (r record) lanNS() string         { return "wh-" + r.Name + "-lan" }
func (r record) nodeNS(n Node) string  { return "wh-" + r.Name + "-" + n.Name }
func recordPath(dir string) string     { return filepath.Join(dir, "cluster.json") }
func (r record) api() string           { return fmt.Sprintf("https://%s:%d", r.Subnets.node(0).IP, apiPort) }
func (r record) save(dir string) error { return writeJSON(recordPath(dir), r) }
func (r record) find(name string) (Node, bool) {
	for _, n := range r.nodes() {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// load returns fs.ErrNotExist for a cluster that does not exist.
func load(dir string) (r record, err error) {
	data, err := os.ReadFile(recordPath(dir))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", recordPath(dir), err)
	}
	return r, r.Subnets.validate()
}

// block returns the k-th triple of networks: 10.245, 10.246, 10.247 for the first
// cluster, as in the workshop, then 10.242, 10.243, 10.244 and so on.
func block(k int) Subnets {
	base := byte(245 - 3*k)
	net := func(second, third byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, third, 0}), bits)
	}
	return Subnets{LAN: net(base, 1, 24), Pods: net(base+1, 0, 16), Services: net(base+2, 0, 16)}
}

const blocks = 81 // down to 10.5

func choose(cfg Config) (Subnets, error) {
	taken, err := others(cfg)
	if err != nil {
		return Subnets{}, err
	}
	routes, err := routed()
	if err != nil {
		return Subnets{}, err
	}
	taken = append(taken, routes...)
	if cfg.Subnets != nil {
		if p, other := clash(*cfg.Subnets, taken); other.IsValid() {
			return Subnets{}, fmt.Errorf("network %s is in use here: there is a route or cluster for %s", p, other)
		}
		return *cfg.Subnets, cfg.Subnets.validate()
	}
	for k := range blocks {
		s := block(k)
		if _, other := clash(s, taken); !other.IsValid() {
			return s, nil
		}
	}
	return Subnets{}, errors.New("no free block of addresses below 10.0.0.0/8: remove a cluster (wheelhouse down --name ...)")
}

// FreeBlocks returns how many further clusters this machine has address blocks for.
func FreeBlocks(cfg Config) (n int, err error) {
	if cfg, err = cfg.complete(); err != nil {
		return 0, err
	}
	taken, err := others(cfg)
	if err != nil {
		return 0, err
	}
	if r, err := load(cfg.dir()); err == nil {
		taken = append(taken, r.Subnets.all()...)
	}
	routes, err := routed()
	if err != nil {
		return 0, err
	}
	taken = append(taken, routes...)
	for k := range blocks {
		if _, other := clash(block(k), taken); !other.IsValid() {
			n++
		}
	}
	return n, nil
}

// clash returns a network in use that is within one of s, or equal. A wider one (a VPN's
// 10.0.0.0/8) is no clash: the cluster's routes are more specific.
func clash(s Subnets, taken []netip.Prefix) (ours, other netip.Prefix) {
	for _, p := range s.all() {
		for _, t := range taken {
			if t.Overlaps(p) && t.Bits() >= min(p.Bits(), 16) {
				return p, t
			}
		}
	}
	return ours, other
}

// others returns the networks of the other clusters below the state directory.
func others(cfg Config) (taken []netip.Prefix, err error) {
	found, err := filepath.Glob(filepath.Join(cfg.StateDir, "*", "cluster.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range found {
		if filepath.Dir(path) == cfg.dir() {
			continue
		}
		// An unreadable record is ignored.
		if r, err := load(filepath.Dir(path)); err == nil {
			taken = append(taken, r.Subnets.all()...)
		}
	}
	return taken, nil
}

// routed returns the destinations of the machine's routes, and its neighbours, except those over
// the given interfaces.
func routed(except ...string) (dsts []netip.Prefix, err error) {
	skip := linkIndexes(except...)
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil || skip[r.LinkIndex] {
			continue
		}
		if p, err := netip.ParsePrefix(r.Dst.String()); err == nil && p.Bits() > 0 {
			dsts = append(dsts, p)
		}
	}
	return append(dsts, neighbours(skip)...), nil
}
