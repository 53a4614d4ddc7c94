// Package endpointslice writes the EndpointSlices of every service: from the pods that its
// selector matches, or, for a service without a selector, as a mirror of the Endpoints
// object that a user wrote.
//
// It owns the slices with its two managed-by labels and no others. It never writes
// Endpoints; package endpoints does.
package endpointslice

import (
	"context"
	"errors"
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	slicelisters "k8s.io/client-go/listers/discovery/v1"

	"wheelhouse/cluster/controller/endpoints"
	"wheelhouse/cluster/controller/loop"
)

const (
	manager   = "endpointslice-controller.k8s.io"
	mirror    = "endpointslicemirroring-controller.k8s.io"
	skip      = "endpointslice.kubernetes.io/skip-mirror"
	managedBy = "endpoints.kubernetes.io/managed-by"
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the EndpointSlice controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	services  listers.ServiceLister
	endpoints listers.EndpointsLister
	pods      listers.PodLister
	nodes     listers.NodeLister
	slices    slicelisters.EndpointSliceLister
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	core, disc := cfg.Informers.Core().V1(), cfg.Informers.Discovery().V1()
	c := &Controller{
		Config:    cfg,
		services:  core.Services().Lister(),
		endpoints: core.Endpoints().Lister(),
		pods:      core.Pods().Lister(),
		nodes:     core.Nodes().Lister(),
		slices:    disc.EndpointSlices().Lister(),
	}
	c.Loop = loop.New(loop.Config[string]{
		Name: cfg.Controller, Workers: 4, Reconcile: c.reconcile, Log: cfg.Log, Period: endpoints.Debounce,
	})
	return c, errors.Join(
		c.On(core.Services().Informer(), loop.Each(func(s *v1.Service) { c.AddSoon(loop.Key(s)) })),
		c.On(core.Endpoints().Informer(), loop.Each(func(e *v1.Endpoints) { c.AddSoon(loop.Key(e)) })),
		c.On(core.Nodes().Informer(), loop.Changes(c.nodeChanged)),
		c.On(core.Pods().Informer(), endpoints.PodChanges(cfg.Log, c.services, c.AddSoon)),
		c.On(disc.EndpointSlices().Informer(), loop.Each(func(s *discovery.EndpointSlice) {
			if name := s.Labels[discovery.LabelServiceName]; name != "" && ours(s) {
				c.AddSoon(s.Namespace + "/" + name)
			}
		})),
	)
}

func ours(s *discovery.EndpointSlice) bool {
	m := s.Labels[discovery.LabelManagedBy]
	return m == manager || m == mirror
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	svc, err := c.services.Services(ns).Get(name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if apierrors.IsNotFound(err) {
		svc = nil
	}
	have, err := c.slices.EndpointSlices(ns).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: name}))
	if err != nil {
		return fmt.Errorf("list slices: %w", err)
	}
	byPods, mirrored := split(have)
	podSrc := source{namespace: ns, name: name, manager: manager}
	mirrorSrc := source{namespace: ns, name: name, manager: mirror}
	var podGroups, mirrorGroups []group
	if svc != nil {
		if podGroups, err = c.fromPods(svc, &podSrc); err != nil {
			return err
		}
		if mirrorGroups, err = c.fromEndpoints(svc, &mirrorSrc); err != nil {
			return err
		}
	}
	return errors.Join(
		c.apply(ctx, key, planSlices(podSrc, podGroups, byPods)),
		c.apply(ctx, key, planSlices(mirrorSrc, mirrorGroups, mirrored)),
	)
}

func split(have []*discovery.EndpointSlice) (byPods, mirrored []*discovery.EndpointSlice) {
	for _, s := range have {
		switch s.Labels[discovery.LabelManagedBy] {
		case manager:
			byPods = append(byPods, s)
		case mirror:
			mirrored = append(mirrored, s)
		}
	}
	return byPods, mirrored
}

func (c *Controller) fromPods(svc *v1.Service, src *source) ([]group, error) {
	if len(svc.Spec.Selector) == 0 || svc.Spec.Type == v1.ServiceTypeExternalName {
		return nil, nil
	}
	src.labels = maps.Clone(svc.Labels)
	if svc.Spec.ClusterIP == v1.ClusterIPNone {
		if src.labels == nil {
			src.labels = map[string]string{}
		}
		src.labels[v1.IsHeadlessService] = ""
	}
	src.owner = metav1.NewControllerRef(svc, v1.SchemeGroupVersion.WithKind("Service"))
	pods, err := endpoints.PodsOf(svc, c.pods)
	if err != nil {
		return nil, err
	}
	groups := groupsOfPods(svc, pods, c.zone)
	if automatic(svc) {
		nodes, err := c.nodes.List(labels.Everything())
		if err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		spread(groups, shares(nodes))
	}
	return groups, nil
}

// nodeChanged enqueues the services whose hints depend on the nodes.
func (c *Controller) nodeChanged(old, now **v1.Node) {
	if old != nil && now != nil && !weighs(*old, *now) {
		return
	}
	for _, svc := range loop.All(c.Log, c.services.List) {
		if automatic(svc) || svc.Spec.TrafficDistribution != nil {
			c.AddSoon(loop.Key(svc))
		}
	}
}

func (c *Controller) zone(node string) string {
	n, err := c.nodes.Get(node)
	if err != nil {
		return ""
	}
	return n.Labels[v1.LabelTopologyZone]
}

func (c *Controller) fromEndpoints(svc *v1.Service, src *source) ([]group, error) {
	if len(svc.Spec.Selector) != 0 || svc.Spec.Type == v1.ServiceTypeExternalName {
		return nil, nil
	}
	ep, err := c.endpoints.Endpoints(svc.Namespace).Get(svc.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil || !mirrors(ep) {
		return nil, err
	}
	src.labels = maps.Clone(ep.Labels)
	delete(src.labels, managedBy)
	src.owner = metav1.NewControllerRef(ep, v1.SchemeGroupVersion.WithKind("Endpoints"))
	return groupsOfEndpoints(ep), nil
}

// mirrors reports whether the object is to be mirrored. The API server publishes its own
// slices, and so does whoever sets the skip label.
func mirrors(ep *v1.Endpoints) bool {
	self := ep.Namespace == metav1.NamespaceDefault && ep.Name == "kubernetes"
	return !self && ep.Labels[skip] != "true" && ep.Labels[managedBy] == ""
}

// apply performs the writes. Creates come before deletes, so that a proxy never reads
// fewer endpoints than there are.
func (c *Controller) apply(ctx context.Context, key string, p sliceWrites) error {
	for _, s := range p.create {
		_, err := c.Client.DiscoveryV1().EndpointSlices(s.Namespace).Create(ctx, s, metav1.CreateOptions{})
		switch {
		case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
			return nil
		case apierrors.IsAlreadyExists(err): // the cache is behind
			c.AddAfter(key, endpoints.Debounce)
			return nil
		case err != nil:
			return fmt.Errorf("create slice: %w", err)
		}
	}
	for _, s := range p.update {
		_, err := c.Client.DiscoveryV1().EndpointSlices(s.Namespace).Update(ctx, s, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("update slice: %w", err)
		}
	}
	for _, s := range p.remove {
		err := c.Client.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete slice: %w", err)
		}
	}
	return nil
}
