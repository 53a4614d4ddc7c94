package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/apiserver/nodeproxy"
	"wheelhouse/cluster/apiserver/openapi"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/apiserver/revocation"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/store/encryption"
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
	etcdServers []string
	etcdTLS     store.TLS
	nodes       []string
	nodePorts   string
	nodeCIDR    prefixFlag
	controllers controllerFlags

	class       bool
	podSecurity string
	encryption  encryptionFlags
	audit       auditFlags
}

func (o *serverOptions) register(c *cobra.Command) {
	f := c.Flags()
	o.networkFlags.register(f)
	o.address.Addr = netip.MustParseAddr("127.0.0.1")
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/wheelhouse/server", "keys, kubeconfigs and etcd's data")
	f.Var(&o.address, "address", "the address to listen on, and of the kubernetes service")
	f.IntVar(&o.port, "port", 6443, "the port of the API; 0 chooses a free one")
	f.IntVar(&o.dnsPort, "dns-port", 53, "the port of the cluster's DNS on the address; 0 serves no DNS")
	f.IntVar(&o.uiPort, "ui-port", 8090, "the port of the web page kube-ui on the address, unless that is loopback; 0 serves none")
	f.StringSliceVar(&o.etcdServers, "etcd-servers", nil, "an etcd cluster to use instead of the embedded member")
	f.StringVar(&o.etcdTLS.TrustedCAFile, "etcd-cafile", "", "the authority of the etcd servers")
	f.StringVar(&o.etcdTLS.CertFile, "etcd-certfile", "", "the client certificate for etcd")
	f.StringVar(&o.etcdTLS.KeyFile, "etcd-keyfile", "", "its key")
	f.Var(&o.nodeCIDR, "node-cidr", "the addresses that nodes can have: this server connects to no other node address (default: any that is no pod's or service's)")
	f.StringSliceVar(&o.nodes, "node", nil, "NAME=IP of a node to write a kubeconfig for; can be repeated")
	o.controllers.register(f)
	f.BoolVar(&o.class, "class", false, "the cluster serves a class: its users are not trusted with its nodes. Namespaces without PodSecurity labels enforce baseline, and gitRepo volumes need a right")
	f.StringVar(&o.podSecurity, "pod-security-config", "", "a file with a PodSecurityConfiguration: the levels of namespaces without labels, and exemptions; it overrides --class")
	o.encryption.register(f)
	o.audit.register(f)
	f.StringVar(&o.nodePorts, "service-node-port-range", "30000-32767", "the ports of NodePort services")
}

func serverCommand() *cobra.Command {
	var o serverOptions
	c := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane in one process: etcd, API server, controllers, scheduler, DNS",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), logger("server"), o.runComponents)
		},
	}
	o.register(c)
	return c
}

func apiserverCommand() *cobra.Command {
	var o serverOptions
	c := &cobra.Command{
		Use:   "apiserver",
		Short: "Run the API server alone, with the embedded etcd or --etcd-servers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c.Context(), logger("apiserver"), nil)
		},
	}
	o.register(c)
	return c
}

// controlPlane is the API server and what it needs, without the components.
type controlPlane struct {
	keys    *pki.Authority
	own     *ownCertificates
	revoked *revocation.List
	store   *store.Store
	authz   *authz.Authorizer
	server  *apiserver.Server
	self    kubernetes.Interface // the server itself as a client, in memory
	parts   *components

	encryption *encryption.File // nil: etcd holds everything as it is
	audit      *audit.Log       // nil: nothing is audited

	admission *admission.Chain
	bootstrap *bootstrap.Bootstrap
}

// join counts the use of a join token, by a compare-and-swap in etcd.
func (cp *controlPlane) join(ctx context.Context, u *client.User, node string) error {
	return authn.Join(ctx, cp.self, u, node)
}

// revocationsChanged closes the connections of revoked certificates.
func (cp *controlPlane) revocationsChanged() {
	cp.server.Drop(func(c *x509.Certificate) bool { return cp.revoked.Revoked(context.Background(), c) })
	cp.own.notify()
}

// run runs etcd, the store and the API server, then more, over the in-memory transport.
// It returns when ctx is done or one of them fails.
func (o *serverOptions) run(ctx context.Context, log *slog.Logger, more func(context.Context, *controlPlane, *slog.Logger) error) error {
	if err := o.check(); err != nil {
		return err
	}
	keys, err := pki.Open(filepath.Join(o.stateDir, "pki"), "wheelhouse")
	if err != nil {
		return fmt.Errorf("the directory %s cannot be used (choose another with --state-dir): %w", o.stateDir, err)
	}
	// A port that is in use is an error before anything is started.
	listener, err := net.Listen("tcp", net.JoinHostPort(o.address.String(), strconv.Itoa(o.port)))
	if err != nil {
		return fmt.Errorf("listening for the API (choose another with --address and --port): %w", err)
	}
	defer listener.Close()
	o.port = listener.Addr().(*net.TCPAddr).Port
	auditLog, stopAudit, err := o.audit.start(log) //nolint:contextcheck // stopAudit ends it
	if err != nil {
		return err
	}
	defer stopAudit() // when the server has answered its last request
	etcd, stop, err := o.etcd(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	cp, err := o.assemble(etcd, keys, auditLog, log) //nolint:contextcheck // kubelets are verified for each connection
	if err != nil {
		return err
	}
	if err := cp.own.renew(); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return ended(ctx, "store", cp.store.Run(ctx)) })
	all.Go(func() error { return o.encryption.run(ctx, cp) })
	all.Go(func() error { return ended(ctx, "authorizer", cp.authz.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "API server", cp.server.Serve(ctx, listener, cp.own.servingTLS())) })
	all.Go(func() error { return ended(ctx, "revoked certificates", cp.revoked.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "certificates", cp.own.run(ctx)) })
	all.Go(func() error { return ended(ctx, "admission", cp.admission.Run(ctx)) })
	all.Go(func() error { return ended(ctx, "bootstrap", cp.bootstrap.Run(ctx)) })
	if more != nil {
		all.Go(func() error { return more(ctx, cp, log) })
	}
	return all.Wait()
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

// etcdPatience is the timeout for an external etcd at the start.
const etcdPatience = 10 * time.Second

func (o *serverOptions) etcd(ctx context.Context, log *slog.Logger) (*clientv3.Client, func(), error) {
	log = log.With("component", "etcd")
	if len(o.etcdServers) == 0 {
		return store.StartEmbedded(ctx, store.EmbedConfig{Dir: filepath.Join(o.stateDir, "etcd"), Log: log})
	}
	first, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	c, err := store.Connect(first, o.etcdServers, o.etcdTLS, log)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (is it running? --etcd-servers and the --etcd-*file flags name it)", err)
	}
	return c, func() { _ = c.Close() }, nil
}

// assemble creates the store, the authorizer, admission and the server; it starts nothing.
func (o *serverOptions) assemble(etcd *clientv3.Client, keys *pki.Authority, auditLog *audit.Log, log *slog.Logger) (*controlPlane, error) {
	cp := &controlPlane{keys: keys, parts: &components{}, audit: auditLog}
	var err error
	if cp.encryption, err = o.encryption.open(filepath.Join(o.stateDir, "pki"), len(o.etcdServers) == 0, log); err != nil {
		return nil, err
	}
	cp.store, err = store.New(store.Config{
		Client: etcd, Kinds: builtin.Kinds, OnlyWriter: len(o.etcdServers) == 0,
		Buckets: podsByNode(), Transformers: transformers(cp.encryption), Log: log.With("component", "store"),
	})
	if err != nil {
		return nil, err
	}
	objects := authz.FromStore(cp.store, builtin.Kinds)
	if cp.authz, err = authz.New(authz.Config{Objects: objects, Log: log.With("component", "authz")}); err != nil {
		return nil, err
	}
	if cp.revoked, err = revocation.New(revocation.Config{Objects: objects, Changed: cp.revocationsChanged, Log: log.With("component", "revocation")}); err != nil {
		return nil, err
	}
	cp.own = &ownCertificates{options: o, keys: keys, revoked: cp.revoked.Until, changed: make(chan struct{}, 1), log: log.With("component", "certificates")}
	tokens, err := authn.NewTokens(authn.TokensConfig{Key: keys.TokenKey(), Issuer: "https://kubernetes.default.svc." + o.domain, Objects: objects})
	if err != nil {
		return nil, err
	}
	authenticator := authn.New(authn.Config{ClientCAs: keys.Pool(), Tokens: tokens, Secrets: objects, Authorizer: cp.authz, Revoked: cp.revoked.Revoked, Log: log.With("component", "authn")})
	cp.admission, err = o.admission(objects, cp, etcd, log)
	if err != nil {
		return nil, err
	}
	issuer, err := tokens.Discovery(o.url())
	if err != nil {
		return nil, err
	}
	cp.server, err = apiserver.New(apiserver.Config{
		Store: cp.store, Authenticator: authenticator, Authorizer: cp.authz, Admission: cp.admission, Audit: cp.audit,
		OpenAPI: openapi.Handler,
		Paths:   map[string]http.Handler{"/.well-known/openid-configuration": issuer, "/openid/": issuer},
		Virtual: virtual(authenticator.Reviews(), cp.authz.Reviews()), ServiceAccountToken: tokens.Issue,
		Uncompressed: o.near(), Metrics: cp.metrics(),
		Reach:      nodeproxy.Reach{Pods: o.podCIDR.Prefix, Services: o.serviceCIDR.Prefix, Nodes: o.nodeCIDR.Prefix, Loopback: o.address.IsLoopback()},
		KubeletTLS: cp.own.kubeletTLS(cp.revoked.Revoked), Components: cp.parts.statuses(cp.store),
		Ready: []apiserver.Check{{Name: "authorizer", Check: cp.authz.WaitReady}, {Name: "revoked-certificates", Check: cp.revoked.WaitReady}, {Name: "bootstrap", Check: cp.bootstrapped}},
		Log:   log.With("component", "apiserver"),
	})
	if err != nil {
		return nil, err
	}
	if cp.self, err = kubernetes.NewForConfig(client.InProcess(cp.server.Handler(), owner)); err != nil {
		return nil, err
	}
	cp.bootstrap, err = o.bootstrap(cp.self, log)
	return cp, err
}

func (cp *controlPlane) bootstrapped(ctx context.Context) error { return cp.bootstrap.Ready(ctx) }

// admission returns the admission plugins; with an external etcd other servers may allocate
// service addresses, too, so that claims are kept in etcd.
func (o *serverOptions) admission(objects authz.Objects, cp *controlPlane, etcd *clientv3.Client, log *slog.Logger) (*admission.Chain, error) {
	ports, err := parsePortRange(o.nodePorts)
	if err != nil {
		return nil, err
	}
	reserved, err := o.reserved()
	if err != nil {
		return nil, err
	}
	security, err := o.podSecurityConfig()
	if err != nil {
		return nil, err
	}
	claims := serviceallocator.NewMemoryClaims()
	if len(o.etcdServers) > 0 {
		claims = serviceallocator.NewEtcdClaims(etcd)
	}
	return admission.New(admission.Config{
		Objects: objects, Authorizer: cp.authz, Log: log.With("component", "admission"),
		Signer: &pki.Signer{Authority: cp.keys, Objects: objects, Reserved: reserved, Join: cp.join}, Reserved: reserved,
		Services: serviceallocator.Config{CIDR: o.serviceCIDR.Prefix, NodePorts: ports, Claims: claims},
		Quotas:   admission.StoreQuotas(cp.store),

		PodSecurity: security, GitRepoByRight: o.class,
	})
}

func (o *serverOptions) podSecurityConfig() (*admission.PodSecurityConfig, error) {
	if o.class && o.podSecurity == "" {
		return admission.ClassPodSecurity(), nil
	}
	return admission.LoadPodSecurity(o.podSecurity)
}

func (o *serverOptions) bootstrap(cs kubernetes.Interface, log *slog.Logger) (*bootstrap.Bootstrap, error) {
	cfg := bootstrap.Config{Client: cs, Log: log.With("component", "bootstrap")}
	// A server on loopback is for this machine's own clients: no pod could reach it.
	if !o.address.IsLoopback() {
		cfg.ServiceIP, cfg.Address, cfg.Port = o.firstService(), o.address.Addr, int32(o.port)
	}
	if o.dnsPort != 0 && !o.address.IsLoopback() {
		cfg.DNSIP, cfg.DNSAddresses, cfg.DNSPort = o.dns.Addr, []netip.Addr{o.address.Addr}, int32(o.dnsPort)
	}
	if o.servesUI() {
		cfg.UI = o.uiAddress()
	}
	return bootstrap.New(cfg)
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

// owner is who the server's own process is when it writes what every cluster has.
var owner = &client.User{Name: "system:apiserver", Groups: []string{pki.Admins}}

// firstService is the address of the kubernetes Service.
func (o *serverOptions) firstService() netip.Addr { return o.serviceCIDR.Masked().Addr().Next() }

// virtual returns the kinds that are not stored.
func virtual(sources ...map[schema.GroupVersionResource]authz.Review) map[schema.GroupVersionResource]apiserver.CreateFunc {
	all := map[schema.GroupVersionResource]apiserver.CreateFunc{}
	for _, source := range sources {
		for resource, answer := range source {
			all[resource] = answer
		}
	}
	return all
}

// podsByNode lets each kubelet's watch see its own pods only, at no cost to others.
func podsByNode() map[*api.Kind]func(api.Object) string {
	return map[*api.Kind]func(api.Object) string{
		builtin.Lookup("", "v1", "pods"): func(o api.Object) string { return o.(*corev1.Pod).Spec.NodeName },
	}
}

func (o *serverOptions) url() string {
	if o.port == 443 {
		return "https://" + o.address.String()
	}
	return "https://" + net.JoinHostPort(o.address.String(), strconv.Itoa(o.port))
}

var errNoKubeconfig = errors.New("--kubeconfig is needed: the file with the API server and the credentials")

// clientCAs returns the authorities of a kubelet's clients.
func clientCAs(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the kubeconfig holds no certificate authority")
	}
	return pool, nil
}
