package main

import (
	"context"
	"crypto/x509"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"
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
	"wheelhouse/cluster/journal"
	"wheelhouse/cluster/masters"
	"wheelhouse/cluster/scheduler"
	"wheelhouse/cluster/store"
	"wheelhouse/cluster/store/encryption"
	"wheelhouse/cluster/zpages"
)

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
	journal    *journal.Log     // of the API server and the scheduler

	live     *masters.Live // nil: there are no other masters
	masters  func() []netip.Addr
	identity string // in Leases, the same after a restart; "": another one each time

	admission *admission.Chain
	bootstrap *bootstrap.Bootstrap
}

// join counts the use of a join token, by a compare-and-swap in etcd.
func (cp *controlPlane) join(ctx context.Context, u *client.User, node string) error {
	return authn.Join(ctx, cp.self, u, node)
}

// markUsed labels the Secret of a service account's token with the day of its last use.
func (cp *controlPlane) markUsed(ctx context.Context, s *corev1.Secret, day string) error {
	return authn.MarkUsed(ctx, cp.self, s, day)
}

// revocationsChanged closes the connections of revoked certificates.
func (cp *controlPlane) revocationsChanged() {
	cp.server.Drop(func(c *x509.Certificate) bool { return cp.revoked.Revoked(context.Background(), c) })
	cp.own.notify()
}

// assemble creates the store, the authorizer, admission and the server; it starts nothing.
func (o *serverOptions) assemble(db *database, encrypted *encryption.File, keys *pki.Authority, auditLog *audit.Log, log *slog.Logger) (*controlPlane, error) {
	cp := &controlPlane{keys: keys, parts: &components{}, audit: auditLog, journal: journal.New()}
	if db.member != nil {
		cp.masters, cp.identity = db.member.PeerAddresses, db.member.ID()
	}
	cp.encryption = encrypted
	var err error
	cp.store, err = store.New(store.Config{
		Client: db.client, Kinds: builtin.Kinds, OnlyWriter: o.alone(), Room: db.room(), Essential: essential, HistoryBytes: o.etcd.quota / 16,
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
	tokens, err := authn.NewTokens(authn.TokensConfig{
		Key: keys.TokenKey(), Issuer: "https://kubernetes.default.svc." + o.domain, Objects: objects, MarkUsed: cp.markUsed, Log: log.With("component", "authn"),
	})
	if err != nil {
		return nil, err
	}
	authenticator := authn.New(authn.Config{ClientCAs: keys.Pool(), Tokens: tokens, Secrets: objects, Authorizer: cp.authz, Revoked: cp.revoked.Revoked, Log: log.With("component", "authn")})
	cp.admission, err = o.admission(objects, cp, db.client, log)
	if err != nil {
		return nil, err
	}
	issuer, err := tokens.Discovery(o.url())
	if err != nil {
		return nil, err
	}
	paths, err := o.paths(issuer, cp, db, log)
	if err != nil {
		return nil, err
	}
	cp.server, err = apiserver.New(apiserver.Config{
		Store: cp.store, Authenticator: authenticator, Authorizer: cp.authz, Admission: cp.admission, Audit: cp.audit, Journal: cp.journal,
		OpenAPI: openapi.Handler,
		Paths:   paths,
		Virtual: virtual(authenticator.Reviews(), cp.authz.Reviews()), ServiceAccountToken: tokens.Issue,
		Uncompressed: o.near(), Metrics: slices.Concat(cp.metrics(db), tokens.Collectors(), authenticator.Collectors()),
		Reach:      nodeproxy.Reach{Pods: o.podCIDR.Prefix, Services: o.serviceCIDR.Prefix, Nodes: o.nodeCIDR.Prefix, Loopback: o.address.IsLoopback()},
		KubeletTLS: cp.own.kubeletTLS(cp.revoked.Revoked), Components: cp.parts.statuses(cp.store),
		Ready: append(o.majority(db), apiserver.Check{Name: "authorizer", Check: cp.authz.WaitReady},
			apiserver.Check{Name: "revoked-certificates", Check: cp.revoked.WaitReady}, apiserver.Check{Name: "bootstrap", Check: cp.bootstrapped}),
		Log: log.With("component", "apiserver"),
	})
	if err != nil {
		return nil, err
	}
	if cp.self, err = kubernetes.NewForConfig(client.As(client.InProcess(cp.server.Handler(), owner), client.APIServer)); err != nil {
		return nil, err
	}
	cp.live = o.live(db, cp.bootstrapped, log)
	cp.bootstrap, err = o.bootstrap(cp, log)
	return cp, err
}

// paths are the paths beside the API: the issuer's keys, pages for who looks for a fault, the
// database, and the handover to further masters.
func (o *serverOptions) paths(issuer http.Handler, cp *controlPlane, db *database, log *slog.Logger) (map[string]http.Handler, error) {
	all := zpages.Handlers(zpages.Config{
		Component: "kube-apiserver", Version: zpages.Compatible, Flags: zpages.Flags(o.flags),
		Paths: []string{"/healthz", "/livez", "/metrics", "/readyz", "/version"},
	})
	all["/.well-known/openid-configuration"], all["/openid/"] = issuer, issuer
	maps.Copy(all, db.paths())
	handover, err := o.handover(cp, db, log)
	maps.Copy(all, handover)
	return all, err
}

func (cp *controlPlane) bootstrapped(ctx context.Context) error { return cp.bootstrap.Ready(ctx) }

// admission returns the admission plugins; other masters may allocate
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
	reserved.Masters = cp.masters
	security, err := o.podSecurityConfig()
	if err != nil {
		return nil, err
	}
	claims := serviceallocator.NewMemoryClaims()
	if !o.alone() {
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

func (o *serverOptions) bootstrap(cp *controlPlane, log *slog.Logger) (*bootstrap.Bootstrap, error) {
	cfg := bootstrap.Config{Client: cp.self, ClientCA: cp.keys.CertPEM(), Servers: servers(cp.live), Log: log.With("component", "bootstrap")}
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
	cfg.Ingress = o.ingress.at(o.address.Addr)
	return bootstrap.New(cfg)
}

// owner is who the server's own process is when it writes what every cluster has.
var owner = &client.User{Name: "system:apiserver", Groups: []string{pki.Admins}}

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

// metrics are those of the parts beside the server.
func (cp *controlPlane) metrics(db *database) []prometheus.Collector {
	all := scheduler.Collectors()
	if db.member != nil {
		all = append(all, db.member)
	}
	if cp.encryption != nil {
		all = append(all, cp.encryption.Collectors()...)
	}
	if cp.audit != nil {
		all = append(all, cp.audit.Collectors()...)
	}
	return all
}
