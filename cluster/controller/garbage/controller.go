// Package garbage deletes objects whose owners are gone.
//
// It watches the metadata of all kinds that can be listed, watched and deleted, and keeps the
// graph of ownerReferences (graph.go, no I/O). A dependent is deleted when all its owners are
// deleted, by uid; a reference to one of several owners that is deleted is removed. An
// owner deleted with foreground propagation stays until the dependents that block it are
// deleted; one deleted with Orphan stays until its dependents have lost the reference. An owner
// must be in the dependent's namespace, or cluster-scoped. Events expire by their TTL.
//
// Kinds that the server serves later are discovered every half minute, and soon after an owner
// of an unknown kind is observed; kinds that it no longer serves are no longer watched.
//
// It never deletes an object because of a cache alone: it reads object and owners first.
package garbage

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/namespace"
)

const workers = 20

const (
	// discoveryRetry is how soon a failed discovery is repeated.
	discoveryRetry = 200 * time.Millisecond
	// rediscovery is how often the kinds are discovered again, and unknownRediscovery how
	// long after the time before when an owner is of an unknown kind.
	rediscovery        = 30 * time.Second
	unknownRediscovery = 2 * time.Second
	// quietTries are not logged: a server that starts for the first time writes its roles
	// before it authorizes the reads.
	quietTries = 10
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Metadata metadata.Interface
}

// Controller is the garbage collector.
type Controller struct {
	*loop.Loop[task]
	Config
	graph *graph
	// kinds are the resources by group and kind; Run sets it before the first reconcile.
	kinds atomic.Pointer[map[schema.GroupKind]namespace.Resource]
	// watched has what stops the informer of a kind, for Run alone.
	watched map[schema.GroupVersionResource]context.CancelFunc
	unknown chan struct{} // an owner is of an unknown kind
	running sync.WaitGroup
}

// New returns the collector; nothing runs before Run.
func New(c Config) (*Controller, error) {
	g := &Controller{Config: c, graph: newGraph(), watched: map[schema.GroupVersionResource]context.CancelFunc{}, unknown: make(chan struct{}, 1)}
	g.Loop = loop.New(loop.Config[task]{Name: c.Controller, Workers: workers, Reconcile: g.reconcile, Log: c.Log})
	return g, nil
}

// Run discovers the kinds, watches them, and collects until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	kinds, err := c.discover(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx is done
	}
	c.setKinds(kinds)
	for _, k := range kinds {
		if k.Resource == "events" {
			continue
		}
		informer := c.Informers.ForResource(k.GroupVersionResource)
		if informer == nil {
			continue // nobody else watches it; see watch
		}
		switch err := c.On(informer, c.handler(k.GroupVersionResource)); {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the informers stop with it, and accept no handler any more
		case err != nil:
			return err
		}
		c.watched[k.GroupVersionResource] = func() {}
	}
	c.Informers.Start(ctx.Done())
	c.running.Go(func() { c.rediscover(ctx, kinds) })
	defer c.running.Wait()
	return c.Loop.Run(ctx)
}

// setKinds replaces the kinds that where finds, and reports whether some are new.
func (c *Controller) setKinds(kinds []namespace.Resource) (changed bool) {
	known := make(map[schema.GroupKind]namespace.Resource, len(kinds))
	former := c.kinds.Load()
	for _, k := range kinds {
		gk := schema.GroupKind{Group: k.Group, Kind: k.Kind}
		known[gk] = k
		if former != nil && (*former)[gk] != k {
			changed = true
		}
	}
	c.kinds.Store(&known)
	return changed
}

// rediscover watches the kinds that the server serves, until ctx ends.
func (c *Controller) rediscover(ctx context.Context, kinds []namespace.Resource) {
	for {
		if c.watch(ctx, kinds); c.setKinds(kinds) {
			c.addAll(c.graph.resolve(c.where))
		}
		wait, cancel := context.WithTimeout(ctx, unknownRediscovery)
		<-wait.Done() // an owner of a kind that never comes must not cause discovery all the time
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-c.unknown:
		case <-time.After(rediscovery - unknownRediscovery):
		}
		found, err := namespace.Discover(c.Client.Discovery())
		if err != nil {
			c.Log.Warn("discovery failed, will retry", "err", err)
			continue
		}
		kinds = found
	}
}

// watch starts the informers of kinds that are new, and stops those of kinds that are gone.
func (c *Controller) watch(ctx context.Context, kinds []namespace.Resource) {
	present := map[schema.GroupVersionResource]bool{}
	for _, k := range kinds {
		gvr := k.GroupVersionResource
		present[gvr] = true
		if c.watched[gvr] != nil || k.Resource == "events" {
			continue
		}
		informer := metadatainformer.NewFilteredMetadataInformer(c.Metadata, gvr, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
		if _, err := informer.AddEventHandler(c.handler(gvr)); err != nil {
			c.Log.Error("a kind is not collected", "resource", gvr.String(), "err", err)
			continue
		}
		running, cancel := context.WithCancel(ctx)
		c.watched[gvr] = cancel
		c.running.Go(func() { informer.Run(running.Done()) })
	}
	for gvr, cancel := range c.watched {
		if !present[gvr] {
			cancel()
			delete(c.watched, gvr)
		}
	}
}

func (c *Controller) discover(ctx context.Context) ([]namespace.Resource, error) {
	for try := 1; ; try++ {
		kinds, err := namespace.Discover(c.Client.Discovery())
		if err == nil {
			return kinds, nil
		}
		if try%quietTries == 0 {
			c.Log.Warn("discovery failed, will retry", "err", err)
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
		AddFunc: func(o any) { c.observed(gvr, o) },
		UpdateFunc: func(old, now any) {
			a, errA := meta.Accessor(old)
			b, errB := meta.Accessor(now)
			if errA == nil && errB == nil && sameMetadata(a, b) {
				return
			}
			c.observed(gvr, now)
		},
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if m, err := meta.Accessor(o); err == nil {
				c.addAll(c.graph.remove(m.GetUID()))
			}
		},
	}
}

// sameMetadata reports whether the graph stays the same: most updates are of spec and status.
func sameMetadata(a, b metav1.Object) bool {
	return a.GetUID() == b.GetUID() && (a.GetDeletionTimestamp() == nil) == (b.GetDeletionTimestamp() == nil) &&
		slices.Equal(a.GetFinalizers(), b.GetFinalizers()) &&
		slices.EqualFunc(a.GetOwnerReferences(), b.GetOwnerReferences(), func(x, y metav1.OwnerReference) bool {
			return x.UID == y.UID && blocks(&x) == blocks(&y)
		})
}

func (c *Controller) observed(gvr schema.GroupVersionResource, o any) {
	m, err := meta.Accessor(o)
	if err != nil {
		c.Log.Error("object without metadata", "resource", gvr.String(), "err", err)
		return
	}
	c.addAll(c.graph.set(object{gvr, m.GetNamespace(), m.GetName(), m.GetUID()}, m, c.where))
}

func (c *Controller) addAll(tasks []task) {
	for _, t := range tasks {
		c.Add(t)
	}
}

// movedTo are the groups to which the kinds of a retired group have moved. The objects are
// the same.
var movedTo = map[string][]string{"extensions": {"apps", "networking.k8s.io"}}

// where returns the object that an owner reference of a dependent names. Its Resource is
// empty if the kind is unknown.
func (c *Controller) where(ref metav1.OwnerReference, namespace string) object {
	o := object{name: ref.Name, uid: ref.UID}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return o
	}
	kinds := *c.kinds.Load()
	k, ok := kinds[schema.GroupKind{Group: gv.Group, Kind: ref.Kind}]
	for _, g := range movedTo[gv.Group] {
		if !ok {
			k, ok = kinds[schema.GroupKind{Group: g, Kind: ref.Kind}]
		}
	}
	if !ok {
		select {
		case c.unknown <- struct{}{}:
		default:
		}
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
