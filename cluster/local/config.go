// Package local runs a whole cluster on one machine: each node is a network
// namespace with its own addresses, routes and iptables, in which the same node
// process runs as on a separate machine.
//
// It owns the network namespaces wh-<cluster>-*, the interfaces to them, the routes
// over those, the cluster's directory below the state directory and the
// processes that it has started; Down removes all of these, and the Docker containers
// with the cluster's label. Everything is found by name or label, so that Up can
// repair and Down can remove what a crash at any point leaves. Of the machine's packet
// rules it owns those with the comment wheelhouse:<cluster>, of which an isolated
// cluster has none, and it never changes others, nor ip_forward. The caller must be root.
//
// The namespaces are connected to a bridge in one more namespace, so that neither
// Docker's forwarding policy nor bridge filtering of the machine applies to what stays
// within a cluster. There, connections of nodes and pods to the machine's own services are
// dropped (hostaccess.go). What they send elsewhere the machine forwards, unless the
// cluster is isolated (outside.go).
package local

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"wheelhouse/cluster/controller/loadbalancer"
)

// Where things are unless somebody says otherwise.
const (
	DefaultName     = "wheelhouse"
	DefaultStateDir = "/var/lib/wheelhouse"
	apiPort         = 443
	maxNodes        = 200

	// DefaultTimeout is enough for a machine that is twenty times slower than a laptop. A process
	// that exits or is stopped ends a step at once, whatever the timeout.
	DefaultTimeout  = 5 * time.Minute
	defaultProgress = 10 * time.Second
)

// Config names a cluster and how it is set up. The zero value is the default cluster.
type Config struct {
	Name       string        // default DefaultName
	StateDir   string        // has a directory for each cluster; default DefaultStateDir
	Nodes      int           // minions; 0 is the control plane alone. Up only
	ServerArgs []string      // further flags of the server process. Up only
	NodeArgs   []string      // further flags of the minions' node processes. Up only
	Binary     string        // the wheelhouse program; default the running one. Up only
	Subnets    *Subnets      // default: the first block that is free. Up of a new cluster only
	Timeout    time.Duration // for each step of Up, and for the end of processes and containers; default DefaultTimeout
	Progress   time.Duration // the interval of Up's lines about a step that waits; default 10 s
	Class      *bool         // the cluster serves a class; nil: unchanged, false for a new cluster. Up only
	Pool       *[]string     // addresses of the LAN for load balancers; nil: unchanged, none for a new cluster. Up only
	Isolated   *bool         // nothing leaves the cluster; nil: unchanged, false for a new cluster. Up only
	Mirror     *Mirror       // the registry that nodes ask first for images; nil: unchanged, none for a new cluster. Up only
	Sealed     *bool         // whoever administers its API is not trusted with the machine (sealed.go); nil: as it was made, false for a new cluster. Up only
	KeepData   bool          // Down keeps keys, etcd, logs and the nodes' disks

	AllowHostAccess bool // nodes and pods may open connections to this machine. Up only
}

var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)

func (c Config) complete() (Config, error) {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.StateDir = cmp.Or(c.StateDir, DefaultStateDir)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Progress = cmp.Or(c.Progress, defaultProgress)
	if !nameSyntax.MatchString(c.Name) {
		return c, fmt.Errorf("cluster name %q: want at most 30 lower case letters, digits and dashes", c.Name)
	}
	if c.Timeout < 0 || c.Progress < 0 {
		return c, fmt.Errorf("timeout %s: want a duration such as %s", c.Timeout, DefaultTimeout)
	}
	if c.Nodes < 0 || c.Nodes > maxNodes {
		return c, fmt.Errorf("%d nodes: want 0 to %d", c.Nodes, maxNodes)
	}
	var err error
	if c.StateDir, err = filepath.Abs(c.StateDir); err != nil {
		return c, err
	}
	if c.Binary == "" {
		if c.Binary, err = os.Executable(); err != nil {
			return c, fmt.Errorf("path of this program: %w", err)
		}
	}
	c.Binary, err = filepath.Abs(c.Binary)
	return c, err
}

func (c Config) dir() string { return filepath.Join(c.StateDir, c.Name) }

// KubeconfigPath returns the path of the administrator's kubeconfig of a cluster. Empty
// arguments are the defaults.
func KubeconfigPath(name, stateDir string) string {
	return filepath.Join(cmp.Or(stateDir, DefaultStateDir), cmp.Or(name, DefaultName), "admin.kubeconfig")
}

func requireRoot(what string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s creates network namespaces and needs root: run it with sudo", what)
	}
	return nil
}

// Subnets are the address blocks of a cluster.
type Subnets struct {
	LAN      netip.Prefix `json:"lan"`      // the machine itself is .1, the master .2, minion-N .2+N, the way out .252 and .253, Ingresses are at .254
	Pods     netip.Prefix `json:"pods"`     // a /16 of which node N has the N-th /24
	Services netip.Prefix `json:"services"` // `kubernetes` is .1, DNS .10
}

// ParseSubnets reads the networks of nodes, pods and services.
func ParseSubnets(list []string) (Subnets, error) {
	if len(list) != 3 {
		return Subnets{}, fmt.Errorf("%q: want three networks, of nodes, pods and services", list)
	}
	var p [3]netip.Prefix
	for i, text := range list {
		var err error
		if p[i], err = netip.ParsePrefix(text); err != nil || !p[i].Addr().Is4() {
			return Subnets{}, fmt.Errorf("network %q: want one such as 172.30.0.0/16", text)
		}
	}
	s := Subnets{LAN: p[0].Masked(), Pods: p[1].Masked(), Services: p[2].Masked()}
	return s, s.validate()
}

func (s Subnets) host() netip.Addr       { return nth(s.LAN, 1) }
func (s Subnets) ingress() netip.Addr    { return nth(s.LAN, 254) }
func (s Subnets) gateway() netip.Addr    { return nth(s.LAN, 253) } // the namespace of the bridge, the nodes' default route
func (s Subnets) uplink() netip.Addr     { return nth(s.LAN, 252) } // the machine's end of the way out
func (s Subnets) dns() netip.Addr        { return nth(s.Services, 10) }
func (s Subnets) kubernetes() netip.Addr { return nth(s.Services, 1) }
func (s Subnets) all() []netip.Prefix    { return []netip.Prefix{s.LAN, s.Pods, s.Services} }

func (s Subnets) validate() error {
	if !s.LAN.IsValid() || s.LAN.Bits() > 24 || !s.Pods.IsValid() || s.Pods.Bits() != 16 || !s.Services.IsValid() || s.Services.Bits() > 24 {
		return fmt.Errorf("networks %v: want a LAN of /24 or more, pods of /16, services of /24 or more", s.all())
	}
	if s.LAN.Overlaps(s.Pods) || s.LAN.Overlaps(s.Services) || s.Pods.Overlaps(s.Services) {
		return errors.New("the networks of nodes, pods and services overlap")
	}
	return nil
}

// balancers refuses addresses of load balancers that the machine cannot reach on the LAN, or has itself.
func (s Subnets) balancers(list []string) error {
	pool, err := loadbalancer.ParsePool(list)
	switch {
	case err != nil:
		return fmt.Errorf("addresses of load balancers: %w", err)
	case !pool.Within(s.LAN):
		return fmt.Errorf("addresses of load balancers %s: the cluster's machines are on %s, so choose some of these, such as %s-%s", pool, s.LAN, nth(s.LAN, 210), nth(s.LAN, 250))
	case pool.Contains(s.host()):
		return fmt.Errorf("addresses of load balancers %s: %s is this machine's own, so choose others, such as %s-%s", pool, s.host(), nth(s.LAN, 210), nth(s.LAN, 250))
	case pool.Contains(s.gateway()) || pool.Contains(s.uplink()):
		return fmt.Errorf("addresses of load balancers %s: %s and %s are those of the way out, so choose others, such as %s-%s", pool, s.uplink(), s.gateway(), nth(s.LAN, 210), nth(s.LAN, 250))
	}
	return nil
}

// nth returns the n-th address of a network; n is below 256.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().As4()
	b[3] += byte(n)
	return netip.AddrFrom4(b)
}

// Node is the name and the addresses of one node.
type Node struct {
	Name    string
	IP      netip.Addr
	PodCIDR netip.Prefix
	Master  bool
}

// node returns the master for 0, else minion-N.
func (s Subnets) node(n int) Node {
	pods := s.Pods.Masked().Addr().As4()
	pods[2] = byte(n)
	node := Node{Name: "master", IP: nth(s.LAN, 2+n), PodCIDR: netip.PrefixFrom(netip.AddrFrom4(pods), 24), Master: n == 0}
	if n > 0 {
		node.Name = fmt.Sprintf("minion-%d", n)
	}
	return node
}

const pollEvery = 20 * time.Millisecond

// writeJSON replaces the file atomically.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
