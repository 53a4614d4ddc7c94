package authz

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"wheelhouse/cluster/api"
)

// rbacCache keeps the objects of the four kinds, and what they compile to.
type rbacCache struct {
	objects  Objects
	log      *slog.Logger
	kinds    []*kindCache
	mu       sync.Mutex // of compiling
	compiled atomic.Pointer[policy]
}

// kindCache has the objects of one kind at one revision.
type kindCache struct {
	resource schema.GroupResource
	ready    chan struct{}

	mu       sync.Mutex
	revision int64
	items    map[string]api.Object

	refreshing sync.Mutex   // one fresh list at a time
	asked      atomic.Int64 // refreshes asked for
	served     int64        // of them, those that the last list covers; under refreshing
}

func newRBACCache(objects Objects, log *slog.Logger) *rbacCache {
	c := &rbacCache{objects: objects, log: log}
	for _, r := range []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"} {
		c.kinds = append(c.kinds, &kindCache{
			resource: rbacv1.Resource(r), ready: make(chan struct{}), items: map[string]api.Object{},
		})
	}
	return c
}

func (c *rbacCache) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range c.kinds {
		g.Go(func() error { return c.follow(ctx, k) })
	}
	return g.Wait()
}

func (c *rbacCache) isReady() bool {
	for _, k := range c.kinds {
		select {
		case <-k.ready:
		default:
			return false
		}
	}
	return true
}

func (c *rbacCache) waitReady(ctx context.Context) error {
	for _, k := range c.kinds {
		select {
		case <-k.ready:
		case <-ctx.Done():
			return fmt.Errorf("reading %s: %w", k.resource, ctx.Err())
		}
	}
	return nil
}

// follow lists and watches one kind, again and again until ctx ends.
func (c *rbacCache) follow(ctx context.Context, k *kindCache) error {
	for ctx.Err() == nil {
		if err := c.listAndWatch(ctx, k); err != nil && ctx.Err() == nil {
			c.log.Warn("following RBAC objects", "resource", k.resource.Resource, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

func (c *rbacCache) listAndWatch(ctx context.Context, k *kindCache) error {
	items, revision, err := c.objects.List(ctx, k.resource, "", false)
	if err != nil {
		return fmt.Errorf("listing: %w", err)
	}
	c.replace(k, items, revision)
	select {
	case <-k.ready:
	default:
		close(k.ready)
	}
	changes, err := c.objects.Watch(ctx, k.resource, revision)
	if err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	for ch := range changes {
		c.apply(k, ch)
	}
	return nil
}

func (c *rbacCache) replace(k *kindCache, items []api.Object, revision int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if revision < k.revision {
		return
	}
	k.revision = revision
	k.items = make(map[string]api.Object, len(items))
	for _, o := range items {
		k.items[o.GetNamespace()+"/"+o.GetName()] = o
	}
	c.compiled.Store(nil)
}

func (c *rbacCache) apply(k *kindCache, ch Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ch.Revision <= k.revision {
		return // a refresh was ahead of the watch
	}
	k.revision = ch.Revision
	key := ch.Object.GetNamespace() + "/" + ch.Object.GetName()
	if ch.Type == watch.Deleted {
		delete(k.items, key)
	} else {
		k.items[key] = ch.Object
	}
	c.compiled.Store(nil)
}

// refresh reads r's objects again. Concurrent callers share one list that began after each of
// their calls.
func (c *rbacCache) refresh(ctx context.Context, r schema.GroupResource) error {
	for _, k := range c.kinds {
		if k.resource != r {
			continue
		}
		ticket := k.asked.Add(1)
		k.refreshing.Lock()
		defer k.refreshing.Unlock()
		if k.served >= ticket {
			return nil
		}
		covers := k.asked.Load()
		items, revision, err := c.objects.List(ctx, k.resource, "", true)
		if err != nil {
			return fmt.Errorf("reading %s again: %w", r, err)
		}
		c.replace(k, items, revision)
		k.served = covers
	}
	return nil
}

// policy returns the present index. It is compiled when it is first used after a change: a
// burst of writes costs one compilation, not one each.
func (c *rbacCache) policy() *policy {
	if p := c.compiled.Load(); p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.compiled.Load(); p != nil {
		return p
	}
	// All kinds stay locked until the result is stored, so that no change can fall
	// between reading and storing.
	for _, k := range c.kinds {
		k.mu.Lock()
		defer k.mu.Unlock()
	}
	p := compile(all[*rbacv1.Role](c.kinds[0]), all[*rbacv1.ClusterRole](c.kinds[1]),
		all[*rbacv1.RoleBinding](c.kinds[2]), all[*rbacv1.ClusterRoleBinding](c.kinds[3]))
	c.compiled.Store(p)
	return p
}

func all[T api.Object](k *kindCache) []T {
	out := make([]T, 0, len(k.items))
	for _, o := range k.items {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
