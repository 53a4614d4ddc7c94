// Package loadbalancer gives services of type LoadBalancer addresses from a pool, where no cloud
// does: it writes status.loadBalancer.ingress, the condition servicefacts.FromPool and
// upstream's finalizer, in one write. Nodes announce the addresses (package announce), and their
// proxies serve them.
//
// A service takes part that names no loadBalancerClass or the class servicefacts.Class. All state
// is in the API: an address is taken while a service's status has it, so that a process that ends
// between any two instructions neither loses nor doubles one. Allocation reads all services from
// the API server, not from a cache. Without a pool the controller gives no address away, and takes
// back those that it has given.
package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/api/servicefacts"
	"wheelhouse/cluster/controller/loop"
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Pool     Pool
	Reserved []netip.Addr // addresses of the cluster itself that are no node's: no service gets them
}

// Controller is the controller of load balancers. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	services listers.ServiceLister
	nodes    listers.NodeLister

	mu     sync.Mutex
	failed map[types.UID]string // services without an address, and the reason of their last event
}

// New returns the controller; nothing runs before Run. One worker makes all allocations.
func New(cfg Config) (*Controller, error) {
	services, nodes := cfg.Informers.Core().V1().Services(), cfg.Informers.Core().V1().Nodes()
	c := &Controller{Config: cfg, services: services.Lister(), nodes: nodes.Lister(), failed: map[types.UID]string{}}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 1, Reconcile: c.reconcile, Log: cfg.Log})
	return c, errors.Join(
		c.On(services.Informer(), loop.Changes(c.serviceChanged)),
		c.On(nodes.Informer(), loop.Changes(func(old, now **v1.Node) {
			if old == nil || now == nil || !slices.Equal((*old).Status.Addresses, (*now).Status.Addresses) {
				c.addAll(servicefacts.WantsAddress)
			}
		})),
	)
}

func (c *Controller) serviceChanged(old, now **v1.Service) {
	if now != nil {
		if servicefacts.WantsAddress(*now) || isOurs(*now) {
			c.Add(loop.Key(*now))
		}
	} else {
		c.succeeded((*old).UID)
	}
	if old != nil && (now == nil || !equality.Semantic.DeepEqual(addressesOf(*old), addressesOf(*now))) {
		c.addAll(c.waits) // an address may be free
	}
}

func addressesOf(svc *v1.Service) []string {
	out := slices.Clone(svc.Spec.ExternalIPs)
	for _, in := range svc.Status.LoadBalancer.Ingress {
		out = append(out, in.IP)
	}
	return out
}

func (c *Controller) waits(svc *v1.Service) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, failed := c.failed[svc.UID]
	return failed
}

func (c *Controller) addAll(which func(*v1.Service) bool) {
	for _, svc := range loop.All(c.Log, c.services.List) {
		if which(svc) {
			c.Add(loop.Key(svc))
		}
	}
}

// isOurs reports whether this controller has written the service's status.
func isOurs(svc *v1.Service) bool {
	return meta.FindStatusCondition(svc.Status.Conditions, servicefacts.FromPool) != nil
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	svc, err := c.services.Services(ns).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if !servicefacts.WantsAddress(svc) || c.Pool.Empty() {
		return c.release(ctx, svc)
	}
	cached, err := c.services.List(labels.Everything())
	if err != nil {
		return err
	}
	if c.settled(svc, cached) {
		c.succeeded(svc.UID)
		return nil
	}
	return c.ensure(ctx, svc)
}

// settled reports whether the service has what it would get.
func (c *Controller) settled(svc *v1.Service, all []*v1.Service) bool {
	want, err := c.allocate(svc, all)
	return err == nil && len(want) > 0 && slices.Equal(want, servicefacts.PoolAddresses(svc)) && slices.Contains(svc.Finalizers, servicefacts.CleanupFinalizer)
}

func (c *Controller) allocate(svc *v1.Service, all []*v1.Service) ([]netip.Addr, error) {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	return allocate(c.Pool, svc, takenFrom(svc, all, nodes, c.Reserved))
}

// ensure allocates addresses on the view of the API server itself, and writes them.
func (c *Controller) ensure(ctx context.Context, cached *v1.Service) error {
	list, err := c.Client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	var svc *v1.Service
	all := make([]*v1.Service, len(list.Items))
	for i := range list.Items {
		if all[i] = &list.Items[i]; all[i].UID == cached.UID {
			svc = all[i]
		}
	}
	if svc == nil || !servicefacts.WantsAddress(svc) {
		return nil // its event follows
	}
	if c.settled(svc, all) { // the cache is behind
		c.succeeded(svc.UID)
		return nil
	}
	want, err := c.allocate(svc, all)
	if err != nil {
		c.fail(svc, err)
		return c.withdraw(ctx, svc)
	}
	if !c.waits(svc) {
		c.Recorder.Event(svc, v1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	}
	if had := texts(servicefacts.PoolAddresses(svc)); had != "" {
		c.Recorder.Eventf(svc, v1.EventTypeNormal, "LoadBalancerIP", "%s -> %s", had, texts(want))
	}
	if err := c.write(ctx, svc, want); err != nil {
		return err
	}
	c.succeeded(svc.UID)
	c.Recorder.Event(svc, v1.EventTypeNormal, "EnsuredLoadBalancer", "Ensured load balancer")
	return nil
}

func texts(list []netip.Addr) string {
	out := make([]string, 0, len(list))
	for _, ip := range list {
		out = append(out, ip.String())
	}
	return strings.Join(out, ",")
}

// fail records why a service has no address, once for each reason. What can mend it is a change
// of a service or a node, or another pool, so it is not tried again before.
func (c *Controller) fail(svc *v1.Service, why error) {
	c.mu.Lock()
	last, before := c.failed[svc.UID]
	c.failed[svc.UID] = why.Error()
	c.mu.Unlock()
	if before && last == why.Error() {
		return
	}
	c.Recorder.Event(svc, v1.EventTypeNormal, "EnsuringLoadBalancer", "Ensuring load balancer")
	c.Recorder.Eventf(svc, v1.EventTypeWarning, "SyncLoadBalancerFailed", "Error syncing load balancer: failed to ensure load balancer: %v", why)
}

func (c *Controller) succeeded(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failed, uid)
}

// withdraw takes back an address that a service must not keep, and leaves the service ours.
func (c *Controller) withdraw(ctx context.Context, svc *v1.Service) error {
	if len(servicefacts.PoolAddresses(svc)) == 0 {
		return nil
	}
	return c.write(ctx, svc, nil)
}

// release takes back the addresses of a service that is to have none, and lets it go. What
// another controller has written stays.
func (c *Controller) release(ctx context.Context, svc *v1.Service) error {
	c.succeeded(svc.UID)
	if !isOurs(svc) {
		return nil
	}
	c.Recorder.Event(svc, v1.EventTypeNormal, "DeletingLoadBalancer", "Deleting load balancer")
	next := svc.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == servicefacts.CleanupFinalizer })
	next.Status.LoadBalancer = v1.LoadBalancerStatus{}
	meta.RemoveStatusCondition(&next.Status.Conditions, servicefacts.FromPool)
	if _, err := c.Client.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("release the addresses of service %s/%s: %w", svc.Namespace, svc.Name, err)
	}
	c.Recorder.Event(svc, v1.EventTypeNormal, "DeletedLoadBalancer", "Deleted load balancer")
	return nil
}

// write writes addresses, condition and finalizer, in one write with the version that was read.
func (c *Controller) write(ctx context.Context, svc *v1.Service, want []netip.Addr) error {
	next := svc.DeepCopy()
	if !slices.Contains(next.Finalizers, servicefacts.CleanupFinalizer) {
		next.Finalizers = append(next.Finalizers, servicefacts.CleanupFinalizer)
	}
	mode := v1.LoadBalancerIPModeVIP
	next.Status.LoadBalancer = v1.LoadBalancerStatus{}
	for _, ip := range want {
		next.Status.LoadBalancer.Ingress = append(next.Status.LoadBalancer.Ingress, v1.LoadBalancerIngress{IP: ip.String(), IPMode: &mode})
	}
	condition := metav1.Condition{Type: servicefacts.FromPool, Status: metav1.ConditionTrue, Reason: "Allocated", ObservedGeneration: svc.Generation}
	if len(want) == 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, "NoAddress"
	}
	meta.SetStatusCondition(&next.Status.Conditions, condition)
	if _, err := c.Client.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("write the addresses of service %s/%s: %w", svc.Namespace, svc.Name, err)
	}
	return nil
}
