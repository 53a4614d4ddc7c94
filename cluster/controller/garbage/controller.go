// Package garbage deletes objects whose owners are gone.
//
// It follows the metadata of all kinds that can be listed, watched and deleted,
// and keeps the graph of ownerReferences (graph.go, no I/O). An object that has
// owners goes when all of them are gone, by uid; a reference to one of several
// owners that is gone is taken out. An owner deleted in the foreground stays until
// the dependents that block it are gone; one deleted with Orphan stays until its
// dependents have forgotten it. An owner must be in the dependent's namespace, or
// cluster-wide. Events are left to their own lifetime.
package garbage

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/namespace"
)

const workers = 20

const (
	// discoveryRetry is how soon a failed discovery is repeated.
	discoveryRetry = 200 * time.Millisecond
	// quietTries are not logged: a server that starts for the first time has to
	// write its own roles before it lets us read.
	quietTries = 10
)

// Config is what the controller works with.
type Config struct {
	Discovery discovery.DiscoveryInterface
	Metadata  metadata.Interface
	Informers informers.SharedInformerFactory
	Log       *slog.Logger
}

// Controller is the garbage collector.
type Controller struct {
	*loop.Loop[task]
	Config
	graph *graph
	// kinds finds the resource of a kind in its group; filled by Run before any work.
	kinds map[schema.GroupKind]namespace.Resource
}

// New makes the collector; nothing runs before Run.
func New(c Config) *Controller {
	g := &Controller{Config: c, graph: newGraph(), kinds: map[schema.GroupKind]namespace.Resource{}}
	g.Loop = loop.New(loop.Config[task]{Name: "garbagecollector", Workers: workers, Reconcile: g.reconcile, Log: c.Log})
	g.Config.Log = g.Loop.Log
	return g
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// Run finds out which kinds there are, follows them, and collects until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	kinds, err := c.discover(ctx)
	if err != nil {
		return nil // ctx ended
	}
	for _, k := range kinds {
		c.kinds[schema.GroupKind{Group: k.Group, Kind: k.Kind}] = k
	}
	for _, k := range kinds {
		if k.Resource == "events" {
			continue
		}
		informer, err := c.Informers.ForResource(k.GroupVersionResource)
		if err != nil {
			c.Config.Log.Debug("a kind that client-go does not know is not collected", "resource", k.GroupVersionResource.String())
			continue
		}
		switch err := c.On(informer.Informer(), c.handler(k.GroupVersionResource)); {
		case ctx.Err() != nil:
			return nil // the informers end with it, and take no handler any more
		case err != nil:
			return err
		}
	}
	c.Informers.Start(ctx.Done())
	return c.Loop.Run(ctx)
}

func (c *Controller) discover(ctx context.Context) ([]namespace.Resource, error) {
	for try := 1; ; try++ {
		kinds, err := namespace.Discover(c.Discovery)
		if err == nil {
			return kinds, nil
		}
		if try%quietTries == 0 {
			c.Config.Log.Warn("discovery failed, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(discoveryRetry):
		}
	}
}

func (c *Controller) handler(gvr schema.GroupVersionResource) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { c.seen(gvr, o) },
		UpdateFunc: func(old, now any) {
			a, errA := meta.Accessor(old)
			b, errB := meta.Accessor(now)
			if errA == nil && errB == nil && sameMetadata(a, b) {
				return
			}
			c.seen(gvr, now)
		},
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if m, err := meta.Accessor(o); err == nil {
				c.do(c.graph.remove(m.GetUID()))
			}
		},
	}
}

// sameMetadata leaves out the bulk of updates, which are of spec and status.
func sameMetadata(a, b metav1.Object) bool {
	return a.GetUID() == b.GetUID() && (a.GetDeletionTimestamp() == nil) == (b.GetDeletionTimestamp() == nil) &&
		slices.Equal(a.GetFinalizers(), b.GetFinalizers()) &&
		slices.EqualFunc(a.GetOwnerReferences(), b.GetOwnerReferences(), func(x, y metav1.OwnerReference) bool {
			return x.UID == y.UID && blocks(&x) == blocks(&y)
		})
}

func (c *Controller) seen(gvr schema.GroupVersionResource, o any) {
	m, err := meta.Accessor(o)
	if err != nil {
		c.Config.Log.Error("object without metadata", "resource", gvr.String(), "error", err)
		return
	}
	c.do(c.graph.set(object{gvr, m.GetNamespace(), m.GetName(), m.GetUID()}, m, c.where))
}

func (c *Controller) do(tasks []task) {
	for _, t := range tasks {
		c.Add(t)
	}
}

// movedTo are the groups in which the kinds of a group of 2016 are today; the objects are
// the same.
var movedTo = map[string][]string{"extensions": {"apps", "networking.k8s.io"}}

// where finds the object that an owner reference of a dependent names. Its
// Resource is empty if the kind is unknown.
func (c *Controller) where(ref metav1.OwnerReference, namespace string) object {
	o := object{name: ref.Name, uid: ref.UID}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return o
	}
	k, ok := c.kinds[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}]
	for _, g := range movedTo[gv.Group] {
		if !ok {
			k, ok = c.kinds[schema.GroupKind{Group: g, Kind: ref.Kind}]
		}
	}
	if !ok {
		return o
	}
	o.GroupVersionResource = k.GroupVersionResource
	if k.Namespaced {
		o.namespace = namespace
		if namespace == "" {
			o.namespace = "-" // a namespaced owner of a cluster-wide object names nothing
		}
	}
	return o
}

func (t task) String() string { return string(t.uid) }
