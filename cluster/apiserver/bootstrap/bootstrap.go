// Package bootstrap creates the objects that every cluster has: its namespaces, the default
// roles and bindings, the priority classes of the system, and the Services through which pods
// find the API server and the DNS.
//
// It is a client like any other (with the rights of system:masters), and may run in several
// API servers at once. Objects that exist keep what users have added to them; what is missing
// is restored. Only readiness waits for it, and only for the first pass.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
)

// Config is what a Bootstrap needs.
type Config struct {
	Client kubernetes.Interface
	// ServiceIP is that of the kubernetes Service (10.247.0.1), Address and Port
	// where this API server listens. Without them there is no such Service.
	ServiceIP netip.Addr
	Address   netip.Addr
	Port      int32
	// DNSIP is that of the kube-dns Service (10.247.0.10), DNSAddresses where the
	// DNS listens. Without them there is no such Service.
	DNSIP        netip.Addr
	DNSAddresses []netip.Addr
	DNSPort      int32 // 53 when zero
	// UI is where the web page listens; without it there is no kube-ui Service.
	UI netip.AddrPort
	// Ingress is where Ingresses are served; without a port there is neither the Service ingress nor its IngressClass.
	Ingress Ingress
	// ClientCA are the authorities of client certificates, in PEM. With them, servers that extend the API find
	// them in the ConfigMap extension-apiserver-authentication.
	ClientCA []byte
	// Servers returns where the live API servers are, this one among them; nil: there is no
	// other. The endpoints of the Services above are those.
	Servers func(context.Context) (Servers, error)
	Every   time.Duration // between passes; 10 s when zero
	Log     *slog.Logger
}

// Servers are the addresses of live API servers, and of those that serve DNS and the web page.
type Servers struct{ API, DNS, UI []netip.Addr }

// Ingress is the address and the ports at which a server serves Ingresses; 0 is none.
type Ingress struct {
	Address     netip.Addr
	HTTP, HTTPS uint16
}

func (i Ingress) served() bool { return i.Address.IsValid() && (i.HTTP != 0 || i.HTTPS != 0) }

// Bootstrap is a reconciler.
type Bootstrap struct {
	Config
	once    sync.Once
	ready   chan struct{}
	settled settled
}

// New returns a Bootstrap.
func New(c Config) (*Bootstrap, error) {
	if c.Client == nil {
		return nil, errors.New("bootstrap: Client is required")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.DNSPort == 0 {
		c.DNSPort = 53
	}
	return &Bootstrap{Config: c, ready: make(chan struct{}), settled: settled{sum: map[string]string{}}}, nil
}

// concurrent is how many writes the first pass has in flight: etcd commits many in the time
// of one fsync.
const concurrent = 64

// Run creates the objects, then reconciles them until ctx ends.
func (b *Bootstrap) Run(ctx context.Context) error {
	go b.aggregate(ctx)
	if b.Servers != nil {
		go b.follow(ctx)
	}
	retry := 50 * time.Millisecond
	for ctx.Err() == nil {
		pause := b.Every
		if err := b.Pass(ctx); err == nil {
			b.once.Do(func() { close(b.ready) })
		} else if ctx.Err() == nil {
			b.Log.Warn("creating the cluster's own objects", "err", err)
			pause, retry = retry, min(2*retry, b.Every)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// followEvery is how often the list of live API servers is looked at.
const followEvery = 2 * time.Second

// follow writes the endpoints soon after the list of live API servers has changed.
func (b *Bootstrap) follow(ctx context.Context) {
	var last Servers
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(followEvery):
		}
		now, err := b.Servers(ctx)
		if err != nil || reflect.DeepEqual(now, last) || b.Ready(ctx) != nil {
			continue
		}
		if err := errors.Join(b.kubernetes(ctx), b.dns(ctx), b.ui(ctx), b.ingress(ctx)); err == nil {
			last = now
		}
	}
}

// Ready returns nil once the first pass is done; for readyz.
func (b *Bootstrap) Ready(context.Context) error {
	select {
	case <-b.ready:
		return nil
	default:
		return errors.New("the cluster's own objects are still being created")
	}
}

// WaitReady waits for the first pass.
func (b *Bootstrap) WaitReady(ctx context.Context) error {
	select {
	case <-b.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("creating the cluster's own objects: %w", ctx.Err())
	}
}

// Pass creates what is missing, once: objects in namespaces after the namespaces, all others
// at once.
func (b *Bootstrap) Pass(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	w := &writer{slots: make(chan struct{}, concurrent), settled: &b.settled}
	g.Go(func() error { return b.clusterRoles(ctx, w) })
	g.Go(func() error { return b.clusterRoleBindings(ctx, w) })
	g.Go(func() error { return b.priorityClasses(ctx, w) })
	g.Go(func() error { return b.storageClasses(ctx, w) })
	g.Go(func() error { return b.ingressClasses(ctx, w) })
	g.Go(func() error {
		if err := b.namespaces(ctx, w); err != nil {
			return err
		}
		inner, ctx := errgroup.WithContext(ctx)
		inner.Go(func() error { return b.roles(ctx, w) })
		inner.Go(func() error { return b.roleBindings(ctx, w) })
		inner.Go(func() error { return b.clientCA(ctx) })
		inner.Go(func() error { return b.tokenTracking(ctx) })
		inner.Go(func() error { return b.kubernetes(ctx) })
		inner.Go(func() error { return b.dns(ctx) })
		inner.Go(func() error { return b.ui(ctx) })
		inner.Go(func() error { return b.ingress(ctx) })
		return inner.Wait()
	})
	return g.Wait()
}

// writer bounds the writes of one pass, and has the kinds that need none.
type writer struct {
	slots   chan struct{}
	settled *settled
}

// each runs f for all n, some at a time, and joins their errors.
func (w *writer) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		w.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-w.slots }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
