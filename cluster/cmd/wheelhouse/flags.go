package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/local"
	"wheelhouse/cluster/machine"
)

// version is set by the linker (see the Makefile).
var version = "unknown"

// prefixFlag and addrFlag let pflag parse what net/netip can.
type (
	prefixFlag struct{ netip.Prefix }
	addrFlag   struct{ netip.Addr }
)

func (p *prefixFlag) Set(s string) error {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return errors.New("want a range of addresses such as 10.246.0.0/16")
	}
	p.Prefix = prefix
	return nil
}

func (a *addrFlag) Set(s string) error {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return errors.New("want an address such as 10.245.1.2")
	}
	a.Addr = addr
	return nil
}

func (p *prefixFlag) Type() string { return "CIDR" }
func (a *addrFlag) Type() string   { return "IP" }

func (p *prefixFlag) String() string {
	if !p.IsValid() {
		return ""
	}
	return p.Prefix.String()
}

func (a *addrFlag) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr.String()
}

// logger returns a logger to standard error, which for a daemon is its log file.
func logger(component string) *slog.Logger {
	level := slog.LevelInfo
	if os.Getenv("WHEELHOUSE_DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	return log.With("component", component)
}

// networkFlags are what server and node must agree on.
type networkFlags struct {
	podCIDR, serviceCIDR prefixFlag
	dns                  addrFlag
	domain               string
}

func (n *networkFlags) register(f *pflag.FlagSet) {
	n.podCIDR.Prefix = netip.MustParsePrefix("10.246.0.0/16")
	n.serviceCIDR.Prefix = netip.MustParsePrefix("10.247.0.0/16")
	n.dns.Addr = netip.MustParseAddr("10.247.0.10")
	f.Var(&n.podCIDR, "pod-cidr", "the addresses of all pods")
	f.Var(&n.serviceCIDR, "service-cidr", "the addresses of services")
	f.Var(&n.dns, "dns-address", "the service address of the cluster's DNS")
	f.StringVar(&n.domain, "cluster-domain", "cluster.local", "the DNS domain of the cluster")
}

// parseNodes reads NAME=IP.
func parseNodes(list []string) (map[string]netip.Addr, error) {
	nodes := map[string]netip.Addr{}
	for _, item := range list {
		name, ip, ok := strings.Cut(item, "=")
		addr, err := netip.ParseAddr(ip)
		if !ok || err != nil || name == "" {
			return nil, fmt.Errorf("--node %q: want NAME=IP, such as minion-1=10.245.1.3", item)
		}
		if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
			return nil, fmt.Errorf("--node %q: %q cannot name a node: %s", item, name, wrong[0])
		}
		nodes[name] = addr
	}
	return nodes, nil
}

// parsePortRange reads FIRST-LAST.
func parsePortRange(s string) (serviceallocator.PortRange, error) {
	var r serviceallocator.PortRange
	if _, err := fmt.Sscanf(s, "%d-%d", &r.First, &r.Last); err != nil || r.First < 1 || r.Last > 65535 || r.First > r.Last {
		return r, fmt.Errorf("--service-node-port-range %q: want FIRST-LAST, such as 30000-32767", s)
	}
	return r, nil
}

// ended returns nil if ctx is done, else an error that names the part.
func ended(ctx context.Context, part string, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // whatever the part returned, it was asked to end
	case err == nil:
		return fmt.Errorf("%s stopped unexpectedly", part)
	}
	return fmt.Errorf("%s: %w", part, err)
}

var errNoKubeconfig = errors.New("--kubeconfig is needed: the file with the API server and the credentials")

// kubeconfig returns the path of the default cluster's kubeconfig, else that of the master
// which kube-config has set up on this machine, "" if there is none.
func kubeconfig() string {
	return cmp.Or(existing(local.KubeconfigPath(defaultCluster(), "")), existing(machine.AdminKubeconfig))
}

func existing(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func defaultCluster() string {
	if name := os.Getenv("WHEELHOUSE_CLUSTER"); name != "" {
		return name
	}
	return local.DefaultName
}
