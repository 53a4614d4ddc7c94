package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"wheelhouse/cluster/apiserver/admission"
)

// version is set by the linker (see the Makefile).
var version = "unknown"

// prefixFlag and addrFlag let pflag parse what net/netip can.
type (
	prefixFlag struct{ netip.Prefix }
	addrFlag   struct{ netip.Addr }
)

func (p *prefixFlag) Set(s string) (err error) { p.Prefix, err = netip.ParsePrefix(s); return err }
func (p *prefixFlag) Type() string             { return "CIDR" }

func (a *addrFlag) Set(s string) (err error) { a.Addr, err = netip.ParseAddr(s); return err }
func (a *addrFlag) Type() string             { return "IP" }

func (a *addrFlag) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.Addr.String()
}

// logger writes to standard error, which for a daemon is its log file.
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
		nodes[name] = addr
	}
	return nodes, nil
}

// parsePortRange reads FIRST-LAST.
func parsePortRange(s string) (admission.PortRange, error) {
	var r admission.PortRange
	if _, err := fmt.Sscanf(s, "%d-%d", &r.First, &r.Last); err != nil || r.First < 1 || r.Last > 65535 || r.First > r.Last {
		return r, fmt.Errorf("port range %q: want FIRST-LAST, such as 30000-32767", s)
	}
	return r, nil
}
