package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/dns"
	"wheelhouse/cluster/resolvconf"
)

// resolverFlags say whom the cluster's DNS asks about names outside the cluster.
type resolverFlags struct{ conf, netns string }

func (r *resolverFlags) register(f *pflag.FlagSet) {
	f.StringVar(&r.conf, "resolv-conf", resolvconf.Default, "has the name servers for names outside the cluster; where it names systemd-resolved, those that that asks are taken; empty: no names outside")
	f.StringVar(&r.netns, "resolver-netns", "", "the network namespace from which these are asked, a path such as /run/netns/NAME (default: that of this process)")
}

func (r *resolverFlags) config(log *slog.Logger) dns.Config {
	var inherited int
	if n, _ := fmt.Sscanf(r.netns, "/proc/self/fd/%d", &inherited); n == 1 {
		unix.CloseOnExec(inherited) // no child needs it
	}
	return dns.Config{ResolvConf: r.conf, NetNS: r.netns, Log: log.With("component", "dns")}
}
