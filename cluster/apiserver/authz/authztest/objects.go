// Package authztest keeps objects in memory for tests of what reads them through
// authz.Objects: with revisions and watches, without etcd.
package authztest

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
)

// Objects is a cluster's state. A read that is not fresh sees what Deliver last
// delivered to the watchers; by default everything is delivered at once.
type Objects struct {
	mu       sync.Mutex
	revision int64
	kinds    map[schema.GroupResource]*kind
	Held     bool // watches and caches stand still until Deliver
}

type kind struct {
	now, cached map[string]api.Object
	cachedAt    int64
	pending     []authz.Change
	delivered   []authz.Change
	watchers    map[chan authz.Change]bool
}

// New returns an empty state.
func New() *Objects { return &Objects{kinds: map[schema.GroupResource]*kind{}} }

func (o *Objects) kind(r schema.GroupResource) *kind {
	k := o.kinds[r]
	if k == nil {
		k = &kind{now: map[string]api.Object{}, cached: map[string]api.Object{}, watchers: map[chan authz.Change]bool{}}
		o.kinds[r] = k
	}
	return k
}

func key(namespace, name string) string { return namespace + "/" + name }

// StartAt makes revisions begin above those of something else, such as an etcd
// that a test uses beside it.
func (o *Objects) StartAt(revision int64) { o.revision = revision }

// Put writes objects of one resource of a group.
func (o *Objects) Put(group, resource string, objects ...api.Object) {
	for _, obj := range objects {
		o.write(schema.GroupResource{Group: group, Resource: resource}, obj, watch.Added)
	}
}

// Delete removes an object.
func (o *Objects) Delete(group, resource string, obj api.Object) {
	o.write(schema.GroupResource{Group: group, Resource: resource}, obj, watch.Deleted)
}

func (o *Objects) write(r schema.GroupResource, obj api.Object, t watch.EventType) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.revision++
	k := o.kind(r)
	name := key(obj.GetNamespace(), obj.GetName())
	if t == watch.Deleted {
		delete(k.now, name)
	} else {
		if k.now[name] != nil {
			t = watch.Modified
		}
		k.now[name] = obj
	}
	k.pending = append(k.pending, authz.Change{Type: t, Object: obj, Revision: o.revision})
	if !o.Held {
		k.deliver()
	}
}

// Deliver brings everything into the caches and to the watchers.
func (o *Objects) Deliver() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.kinds {
		k.deliver()
	}
}

func (k *kind) deliver() {
	for _, c := range k.pending {
		name := key(c.Object.GetNamespace(), c.Object.GetName())
		if c.Type == watch.Deleted {
			delete(k.cached, name)
		} else {
			k.cached[name] = c.Object
		}
		k.cachedAt = c.Revision
		k.delivered = append(k.delivered, c)
		for w := range k.watchers {
			w <- c
		}
	}
	k.pending = nil
}

// Get implements authz.Objects.
func (o *Objects) Get(_ context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := o.kind(r).cached
	if fresh {
		from = o.kind(r).now
	}
	if obj := from[key(namespace, name)]; obj != nil {
		return obj, nil
	}
	return nil, apierrors.NewNotFound(r, name)
}

// List implements authz.Objects.
func (o *Objects) List(_ context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kind(r)
	from, revision := k.cached, k.cachedAt
	if fresh {
		from, revision = k.now, o.revision
	}
	var out []api.Object
	for _, obj := range from {
		if namespace == "" || obj.GetNamespace() == namespace {
			out = append(out, obj)
		}
	}
	return out, revision, nil
}

// Watch implements authz.Objects.
func (o *Objects) Watch(ctx context.Context, r schema.GroupResource, revision int64) (<-chan authz.Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.kind(r)
	in, out := make(chan authz.Change, 10_000), make(chan authz.Change)
	k.watchers[in] = true
	for _, c := range k.delivered {
		in <- c
	}
	go func() {
		defer close(out)
		defer func() {
			o.mu.Lock()
			delete(k.watchers, in)
			o.mu.Unlock()
		}()
		for {
			select {
			case c := <-in:
				if c.Revision <= revision {
					continue
				}
				select {
				case out <- c:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}
