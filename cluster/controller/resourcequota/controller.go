// Package resourcequota writes the status of ResourceQuotas: the limits, and what the objects
// of the namespace use of them. Admission in the API server adds what it admits; this
// controller counts again whenever a counted object is added, changed or deleted, and at
// intervals. Package cluster/quota has the rules, and states why the two together never
// admit more than the quota. It never rejects a request.
package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/quota"
)

const (
	// debounce is the minimum time between two counts of one quota.
	debounce = 200 * time.Millisecond
	// DefaultResync is how often all quotas are counted again.
	DefaultResync = 5 * time.Minute
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Metadata metadata.Interface
	Resync   time.Duration // 0 is DefaultResync
}

// Controller is the resource quota controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	quotas  listers.ResourceQuotaLister
	indexer cache.Indexer // of the quotas
	kinds   *kinds
	now     func() time.Time

	mu        sync.Mutex
	watching  map[schema.GroupResource]bool
	ctx       context.Context // of Run, for the informers of counted resources
	informers sync.WaitGroup
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Resync == 0 {
		cfg.Resync = DefaultResync
	}
	core := cfg.Informers.Core().V1()
	c := &Controller{
		Config: cfg, quotas: core.ResourceQuotas().Lister(), indexer: core.ResourceQuotas().Informer().GetIndexer(), now: time.Now,
		kinds:    &kinds{discovery: cfg.Client.Discovery()},
		watching: map[schema.GroupResource]bool{quota.Pods: true},
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 4, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	return c, errors.Join(
		c.On(core.ResourceQuotas().Informer(), loop.Each(func(q *corev1.ResourceQuota) { c.AddSoon(loop.Key(q)) })),
		c.On(core.Pods().Informer(), loop.Changes(c.podChanged)),
	)
}

// Run counts until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	err := c.Loop.Run(ctx)
	c.informers.Wait()
	return err
}

// podChanged enqueues the quotas of the namespace if the usage of a pod may have changed.
func (c *Controller) podChanged(old, now **corev1.Pod) {
	switch {
	case old == nil:
		c.enqueue((*now).Namespace)
	case now == nil:
		c.enqueue((*old).Namespace)
	case c.limited((*now).Namespace):
		t := c.now()
		if !equality.Semantic.DeepEqual(quota.Of(quota.Pods, *old, t), quota.Of(quota.Pods, *now, t)) {
			c.enqueue((*now).Namespace)
		}
	}
}

// limited reports whether a namespace has a quota. Most have none.
func (c *Controller) limited(namespace string) bool {
	keys, err := c.indexer.IndexKeys(cache.NamespaceIndex, namespace)
	return err != nil || len(keys) > 0
}

// enqueue requests a count of all quotas of a namespace.
func (c *Controller) enqueue(namespace string) {
	if !c.limited(namespace) {
		return
	}
	for _, q := range loop.All(c.Log, c.quotas.ResourceQuotas(namespace).List) {
		c.AddSoon(loop.Key(q))
	}
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	q, err := c.quotas.ResourceQuotas(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	defer c.AddAfter(key, c.Resync)
	used, err := c.count(ctx, q)
	if err != nil {
		return err
	}
	next := q.DeepCopy()
	next.Status = corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: used}
	if equality.Semantic.DeepEqual(q.Status, next.Status) {
		return nil
	}
	// With the resourceVersion that was read: a reservation made since must not be lost.
	if _, err := c.Client.CoreV1().ResourceQuotas(namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); loop.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	return nil
}

// count returns what the objects of the namespace use of a quota, and what is reserved in it
// for objects that do not exist yet.
func (c *Controller) count(ctx context.Context, q *corev1.ResourceQuota) (corev1.ResourceList, error) {
	used := quota.Zero(q.Spec.Hard)
	reserved := quota.Reserved(q, c.now())
	if len(reserved) > 0 {
		// The API server removes them; if it has crashed, they expire.
		c.AddAfter(loop.Key(q), quota.Lapse)
	}
	for _, r := range counted(q.Spec.Hard) {
		objects, err := c.list(ctx, r, q)
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", r, err)
		}
		for _, o := range objects {
			if quota.Matches(q, o.object) {
				quota.Add(used, quota.Within(quota.Of(r, o.object, c.now()), q.Spec.Hard))
			}
			delete(reserved, o.uid)
		}
	}
	for _, r := range reserved {
		quota.Add(used, quota.Within(r.Used, q.Spec.Hard))
	}
	return used, nil
}

// counted returns the resources that a quota limits.
func counted(hard corev1.ResourceList) []schema.GroupResource {
	var all []schema.GroupResource
	seen := map[schema.GroupResource]bool{}
	for n := range hard {
		if r := quota.Counted(n); !seen[r] {
			seen[r] = true
			all = append(all, r)
		}
	}
	return all
}
