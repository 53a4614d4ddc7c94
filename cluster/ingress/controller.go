package ingress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
)

const (
	// annotationClass names the class of an Ingress since before the field did.
	annotationClass = "kubernetes.io/ingress.class"

	// settle is how long the controller waits after a change for those that come with it.
	settle = 20 * time.Millisecond
)

// Config configures a Controller.
type Config struct {
	Client    kubernetes.Interface
	Informers *client.SharedInformers // of Ingresses, IngressClasses, Services and EndpointSlices
	Recorder  record.EventRecorder

	Address             netip.Addr
	HTTPPort, HTTPSPort uint16 // 0: not served
	AccessLog           io.Writer
	Log                 *slog.Logger
}

// Controller serves Ingresses.
type Controller struct {
	cfg                                                      Config
	ingresses, classes, services, endpointSlices, tlsSecrets cache.SharedIndexInformer
	secretFactory                                            *client.SharedInformers

	server   *server
	handler  *handler
	changed  chan struct{}
	certs    certCache
	problems map[types.UID][]string // reported, by Ingress
	status   statusWriter
}

// New registers with the informers; it starts nothing.
func New(cfg Config) (*Controller, error) {
	if cfg.Client == nil || cfg.Informers == nil || cfg.Recorder == nil {
		return nil, errors.New("ingress: Client, Informers and Recorder are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	fallback, err := selfSigned()
	if err != nil {
		return nil, err
	}
	var access *slog.Logger
	if cfg.AccessLog != nil {
		access = slog.New(slog.NewJSONHandler(cfg.AccessLog, nil))
	}
	c := &Controller{
		cfg: cfg, handler: newHandler(access), changed: make(chan struct{}, 1), problems: map[types.UID][]string{},
		secretFactory:  tlsSecrets(cfg.Client),
		ingresses:      cfg.Informers.Networking().V1().Ingresses().Informer(),
		classes:        cfg.Informers.Networking().V1().IngressClasses().Informer(),
		services:       cfg.Informers.Core().V1().Services().Informer(),
		endpointSlices: cfg.Informers.Discovery().V1().EndpointSlices().Informer(),
	}
	c.tlsSecrets = c.secretFactory.Core().V1().Secrets().Informer()
	c.server = &server{handler: c.handler, fallback: fallback, log: cfg.Log, changed: c.notify}
	c.status = statusWriter{client: cfg.Client, due: make(chan struct{}, 1), written: map[types.UID]bool{}, log: cfg.Log}
	if err := c.endpointSlices.AddIndexers(cache.Indexers{byService: serviceOfSlice}); err != nil {
		return nil, err
	}
	for _, i := range c.informers() {
		if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { c.notify() }, UpdateFunc: func(any, any) { c.notify() }, DeleteFunc: func(any) { c.notify() },
		}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

const byService = "ingress-service" // slices by namespace/service

func serviceOfSlice(obj any) ([]string, error) {
	s := obj.(*discoveryv1.EndpointSlice)
	return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
}

func (c *Controller) informers() []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{c.ingresses, c.classes, c.services, c.endpointSlices, c.tlsSecrets}
}

func (c *Controller) notify() {
	select {
	case c.changed <- struct{}{}:
	default: // the next round sees it, too
	}
}

// Run serves until ctx is done.
func (c *Controller) Run(ctx context.Context) error {
	c.secretFactory.Start(ctx.Done())
	for _, i := range c.informers() {
		if !cache.WaitForCacheSync(ctx.Done(), i.HasSynced) {
			return ctx.Err()
		}
	}
	c.update()
	defer c.handler.transport.close()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		return c.server.run(ctx, netip.AddrPortFrom(c.cfg.Address, c.cfg.HTTPPort), netip.AddrPortFrom(c.cfg.Address, c.cfg.HTTPSPort))
	})
	all.Go(func() error { return c.status.run(ctx) })
	all.Go(func() error { return c.follow(ctx) })
	return all.Wait()
}

// follow computes the routes again after changes.
func (c *Controller) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.changed:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settle):
		}
		c.update()
	}
}

// update swaps the table, and reports what cannot be served.
func (c *Controller) update() {
	served := c.served()
	c.certs.begin()
	table, problems := Build(Snapshot{
		Ingresses: served, certs: &c.certs, loopback: c.cfg.Address.IsLoopback(),
		Service: func(namespace, name string) *corev1.Service {
			return get[*corev1.Service](c.services, namespace+"/"+name)
		},
		Slices: c.slices,
		Secret: func(namespace, name string) *corev1.Secret {
			return get[*corev1.Secret](c.tlsSecrets, namespace+"/"+name)
		},
	})
	c.handler.table.Store(table)
	c.report(problems)
	if c.server.serving.Load() > 0 {
		c.status.set(served, c.list(), c.addresses())
	}
}

// served returns the Ingresses whose class names this controller.
func (c *Controller) served() []*networkingv1.Ingress {
	return slices.DeleteFunc(c.list(), func(in *networkingv1.Ingress) bool {
		name := in.Annotations[annotationClass]
		if in.Spec.IngressClassName != nil {
			name = *in.Spec.IngressClassName
		}
		class := get[*networkingv1.IngressClass](c.classes, name)
		return class == nil || class.Spec.Controller != client.IngressController
	})
}

func (c *Controller) list() []*networkingv1.Ingress {
	var all []*networkingv1.Ingress
	for _, o := range c.ingresses.GetStore().List() {
		all = append(all, o.(*networkingv1.Ingress))
	}
	return all
}

func (c *Controller) slices(namespace, service string) (of []*discoveryv1.EndpointSlice) {
	objs, err := c.endpointSlices.GetIndexer().ByIndex(byService, namespace+"/"+service)
	if err != nil { // only for an index that does not exist
		return nil
	}
	for _, o := range objs {
		of = append(of, o.(*discoveryv1.EndpointSlice))
	}
	return of
}

// addresses returns those of all masters that serve Ingresses: the endpoints of the Service ingress, which each adds
// itself to, and this one's.
func (c *Controller) addresses() []netip.Addr {
	var all []netip.Addr
	if c.cfg.Address.IsValid() && !c.cfg.Address.IsUnspecified() {
		all = append(all, c.cfg.Address)
	}
	for _, s := range c.slices(metav1.NamespaceSystem, client.IngressService) {
		for i := range s.Endpoints {
			for _, text := range s.Endpoints[i].Addresses {
				if a, err := netip.ParseAddr(text); err == nil {
					all = append(all, a)
				}
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// report records an event for each new problem of an Ingress.
func (c *Controller) report(problems []Problem) {
	now := map[types.UID][]string{}
	for _, p := range problems {
		line := p.Reason + ": " + p.Message
		now[p.Ingress.UID] = append(now[p.Ingress.UID], line)
		if !slices.Contains(c.problems[p.Ingress.UID], line) {
			c.cfg.Recorder.Event(p.Ingress, corev1.EventTypeWarning, p.Reason, p.Message)
		}
	}
	c.problems = now
}

func get[T any](i cache.SharedIndexInformer, key string) (zero T) {
	obj, ok, err := i.GetIndexer().GetByKey(key)
	if !ok || err != nil {
		return zero
	}
	return obj.(T)
}
