// Package endpoints writes the Endpoints object of every service that has a selector: the
// addresses of its pods, ready and not ready, by port.
//
// It never changes Endpoints of services without a selector, which users write, except that
// it deletes them with their service. Package endpointslice does the same for
// EndpointSlices and uses this package's rules on pods.
package endpoints

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
)

const (
	// Debounce is the minimum time between two reconciles of one service.
	Debounce = 50 * time.Millisecond

	managedBy    = "endpoints.kubernetes.io/managed-by"
	manager      = "endpoint-controller"
	overCapacity = "endpoints.kubernetes.io/over-capacity"
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the Endpoints controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	services  listers.ServiceLister
	endpoints listers.EndpointsLister
	pods      listers.PodLister
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	core := cfg.Informers.Core().V1()
	c := &Controller{
		Config:    cfg,
		services:  core.Services().Lister(),
		endpoints: core.Endpoints().Lister(),
		pods:      core.Pods().Lister(),
	}
	c.Loop = loop.New(loop.Config[string]{
		Name: cfg.Controller, Workers: 4, Reconcile: c.reconcile, Log: cfg.Log, Period: Debounce,
	})
	return c, errors.Join(
		c.On(core.Services().Informer(), loop.Each(func(s *v1.Service) { c.AddSoon(loop.Key(s)) })),
		c.On(core.Pods().Informer(), PodChanges(cfg.Log, c.services, c.AddSoon)),
		c.On(core.Endpoints().Informer(), cache.ResourceEventHandlerDetailedFuncs{
			// Left over from a service that was deleted while no controller ran.
			AddFunc: func(o any, initial bool) {
				if ep, ok := o.(*v1.Endpoints); ok && initial && ep.Labels[managedBy] == manager {
					c.AddSoon(loop.Key(ep))
				}
			},
			UpdateFunc: func(_, o any) {
				if ep, ok := o.(*v1.Endpoints); ok && c.hasService(ep) {
					c.AddSoon(loop.Key(ep))
				}
			},
			DeleteFunc: func(o any) {
				if ep, ok := loop.Gone[*v1.Endpoints](o); ok {
					c.AddSoon(loop.Key(ep))
				}
			},
		}),
	)
}

// hasService reports whether a service of the object's name exists. An object without one
// is left to its author.
func (c *Controller) hasService(ep *v1.Endpoints) bool {
	_, err := c.services.Services(ep.Namespace).Get(ep.Name)
	return err == nil
}

// PodChanges calls add with the keys of the services whose endpoints a pod's change concerns.
func PodChanges(log *slog.Logger, services listers.ServiceLister, add func(key string)) cache.ResourceEventHandler {
	return loop.Changes(func(old, now **v1.Pod) {
		if old != nil && now != nil && !Concerns(*old, *now) {
			return
		}
		var ns string
		var sets []map[string]string
		for _, p := range []**v1.Pod{old, now} {
			if p != nil {
				ns, sets = (*p).Namespace, append(sets, (*p).Labels)
			}
		}
		for _, svc := range loop.All(log, services.Services(ns).List) {
			for _, set := range sets {
				if Selects(svc, set) {
					add(loop.Key(svc))
					break
				}
			}
		}
	})
}

// PodsOf returns the pods that a service selects.
func PodsOf(svc *v1.Service, lister listers.PodLister) ([]*v1.Pod, error) {
	all, err := lister.Pods(svc.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var out []*v1.Pod
	for _, p := range all {
		if Selects(svc, p.Labels) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	ns, name := loop.Split(key)
	svc, err := c.services.Services(ns).Get(name)
	if apierrors.IsNotFound(err) {
		return c.remove(ctx, ns, name)
	}
	if err != nil || len(svc.Spec.Selector) == 0 || svc.Spec.Type == v1.ServiceTypeExternalName {
		return err
	}
	pods, err := PodsOf(svc, c.pods)
	if err != nil {
		return err
	}
	have, err := c.endpoints.Endpoints(ns).Get(name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if apierrors.IsNotFound(err) {
		have = nil
	}
	want := desired(svc, pods, have)
	if have == nil {
		_, err = c.Client.CoreV1().Endpoints(ns).Create(ctx, want, metav1.CreateOptions{})
		if apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) {
			return nil
		}
		if apierrors.IsAlreadyExists(err) { // the cache is behind
			c.AddAfter(key, Debounce)
			return nil
		}
		return wrap("create", err)
	}
	if equality.Semantic.DeepEqual(have.Subsets, want.Subsets) && maps.Equal(have.Labels, want.Labels) &&
		maps.Equal(have.Annotations, want.Annotations) {
		return nil
	}
	_, err = c.Client.CoreV1().Endpoints(ns).Update(ctx, want, metav1.UpdateOptions{})
	return wrap("update", loop.IgnoreNotFound(err))
}

// desired returns the Endpoints object to write, based on the present one if there is one.
func desired(svc *v1.Service, pods []*v1.Pod, have *v1.Endpoints) *v1.Endpoints {
	want := &v1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name}}
	if have != nil {
		want = have.DeepCopy()
	}
	var cut bool
	want.Subsets, cut = Subsets(svc, pods)
	want.Labels = map[string]string{managedBy: manager}
	maps.Copy(want.Labels, svc.Labels)
	if svc.Spec.ClusterIP == v1.ClusterIPNone {
		want.Labels[v1.IsHeadlessService] = ""
	}
	delete(want.Annotations, overCapacity)
	if cut {
		if want.Annotations == nil {
			want.Annotations = map[string]string{}
		}
		want.Annotations[overCapacity] = "truncated"
	}
	return want
}

func (c *Controller) remove(ctx context.Context, ns, name string) error {
	if _, err := c.endpoints.Endpoints(ns).Get(name); apierrors.IsNotFound(err) {
		return nil
	}
	// The cache may be behind: a service of this name may have been created since.
	if _, err := c.Client.CoreV1().Services(ns).Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return err
	}
	err := c.Client.CoreV1().Endpoints(ns).Delete(ctx, name, metav1.DeleteOptions{})
	return wrap("delete", loop.IgnoreNotFound(err))
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s endpoints: %w", doing, err)
}
