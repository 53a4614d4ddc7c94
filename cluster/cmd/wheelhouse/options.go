package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/controller"
)

// serverOptions are the flags of the server: where it listens, where its state is,
// and for which nodes it writes kubeconfigs.
type serverOptions struct {
	networkFlags
	stateDir    string
	address     addrFlag
	port        int
	dnsPort     int
	uiPort      int
	etcd        etcdFlags
	masters     masterFlags
	nodes       []string
	nodePorts   string
	nodeCIDR    prefixFlag
	controllers controllerFlags
	ingress     ingressFlags
	resolver    resolverFlags
	leases      controller.LeaseTimes
	flags       *pflag.FlagSet

	announce    bool
	class       bool
	podSecurity string
	encryption  encryptionFlags
	audit       auditFlags
}

func (o *serverOptions) register(c *cobra.Command) {
	f := c.Flags()
	o.flags = f
	o.networkFlags.register(f)
	o.address.Addr = netip.MustParseAddr("127.0.0.1")
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/wheelhouse/server", "keys, kubeconfigs and etcd's data")
	f.Var(&o.address, "address", "the address to listen on, and of the kubernetes service")
	f.IntVar(&o.port, "port", 6443, "the port of the API; 0 chooses a free one")
	f.IntVar(&o.dnsPort, "dns-port", 53, "the port of the cluster's DNS on the address; 0 serves no DNS")
	f.IntVar(&o.uiPort, "ui-port", 8090, "the port of the web page kube-ui on the address, unless that is loopback; 0 serves none")
	o.etcd.register(f)
	o.masters.register(f)
	f.Var(&o.nodeCIDR, "node-cidr", "the addresses that nodes can have: this server connects to no other node address (default: any that is no pod's or service's)")
	f.StringSliceVar(&o.nodes, "node", nil, "NAME=IP of a node to write a kubeconfig for; can be repeated")
	o.controllers.register(f)
	o.ingress.register(f)
	o.resolver.register(f)
	o.leases = controller.DefaultLeaseTimes
	f.DurationVar(&o.leases.Duration, "leader-elect-lease-duration", o.leases.Duration, "how long without a renewal the scheduler's and the controllers' Leases are theirs")
	f.DurationVar(&o.leases.Deadline, "leader-elect-renew-deadline", o.leases.Deadline, "how long without a renewal the scheduler and the controllers go on")
	f.DurationVar(&o.leases.Retry, "leader-elect-retry-period", o.leases.Retry, "the time between two renewals of these Leases; each writes to the database")
	f.BoolVar(&o.announce, "announce", false, "tell machines on the address's network that ask by multicast DNS that a master is here (_wheelhouse._tcp), so that kube-config enable-worker needs no address")
	f.BoolVar(&o.class, "class", false, "the cluster serves a class: its users are not trusted with its nodes. Namespaces without PodSecurity labels enforce baseline, and gitRepo volumes need a right")
	f.StringVar(&o.podSecurity, "pod-security-config", "", "a file with a PodSecurityConfiguration: the levels of namespaces without labels, and exemptions; it overrides --class")
	o.encryption.register(f)
	o.audit.register(f)
	f.StringVar(&o.nodePorts, "service-node-port-range", "30000-32767", "the ports of NodePort services")
}

// check returns an error for flags that would fail later, or silently.
func (o *serverOptions) check() error {
	if _, err := parseNodes(o.nodes); err != nil {
		return err
	}
	if _, err := parsePortRange(o.nodePorts); err != nil {
		return err
	}
	if o.dnsPort < 0 || o.dnsPort > 65535 {
		return fmt.Errorf("--dns-port %d: want a port below 65536, or 0 for no DNS", o.dnsPort)
	}
	if o.uiPort < 0 || o.uiPort > 65535 {
		return fmt.Errorf("--ui-port %d: want a port below 65536, or 0 for no web page", o.uiPort)
	}
	if _, err := o.controllers.balancers(&o.networkFlags); err != nil {
		return err
	}
	if err := o.ingress.check(); err != nil {
		return err
	}
	if o.dnsPort != 0 && !o.serviceCIDR.Contains(o.dns.Addr) {
		return fmt.Errorf("--dns-address %s is not in --service-cidr %s: choose one that is", o.dns, o.serviceCIDR)
	}
	if o.announce && (!o.address.Is4() || o.address.IsLoopback() || o.address.IsUnspecified()) {
		return fmt.Errorf("--announce: want an --address that other machines reach, not %s", o.address)
	}
	if err := o.leases.Check(); err != nil {
		return fmt.Errorf("--leader-elect-lease-duration, --leader-elect-renew-deadline and --leader-elect-retry-period: %w", err)
	}
	for _, server := range o.etcd.servers {
		if u, err := url.Parse(server); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return fmt.Errorf("--etcd-servers %q: want URLs such as https://10.245.1.2:2379", server)
		}
	}
	if tls := o.etcd.tls; o.etcd.embedded() && (tls.TrustedCAFile != "" || tls.CertFile != "" || tls.KeyFile != "") {
		return errors.New("--etcd-cafile, --etcd-certfile and --etcd-keyfile are for an etcd that --etcd-servers names")
	}
	return nil
}

func (o *serverOptions) podSecurityConfig() (*admission.PodSecurityConfig, error) {
	if o.class && o.podSecurity == "" {
		return admission.ClassPodSecurity(), nil
	}
	return admission.LoadPodSecurity(o.podSecurity)
}

// servesUI reports whether the page is served. It is reached through the API server's proxy
// to a service, which has no endpoints on loopback.
func (o *serverOptions) servesUI() bool { return o.uiPort != 0 && !o.address.IsLoopback() }

func (o *serverOptions) uiAddress() netip.AddrPort {
	return netip.AddrPortFrom(o.address.Addr, uint16(o.uiPort))
}

// near returns the networks of this machine's interfaces: sending more bytes there costs less
// than compression.
func (o *serverOptions) near() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var near []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			near = append(near, p.Masked())
		}
	}
	return near
}

// firstService is the address of the kubernetes Service.
func (o *serverOptions) firstService() netip.Addr { return o.serviceCIDR.Masked().Addr().Next() }

func (o *serverOptions) url() string {
	if o.port == 443 {
		return "https://" + o.address.String()
	}
	return "https://" + net.JoinHostPort(o.address.String(), strconv.Itoa(o.port))
}
