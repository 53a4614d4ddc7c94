// Package resourcequota keeps the status of ResourceQuotas: what is allowed, and what
// the objects of the namespace use of it. The API server adds to that what it lets in;
// this controller counts again whenever a counted object comes, goes or changes, and
// from time to time. Package cluster/quota has the rules, and says why the two cannot
// together let in too much.
package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/quota"
)

const (
	// period is the least time between two counts of one quota.
	period = 200 * time.Millisecond
	// DefaultResync is how often everything is counted without a reason.
	DefaultResync = 5 * time.Minute
)

// Config is what the controller works with.
type Config struct {
	Client    kubernetes.Interface
	Metadata  metadata.Interface
	Informers informers.SharedInformerFactory
	Resync    time.Duration // 0 is DefaultResync
	Log       *slog.Logger
}

// Controller counts.
type Controller struct {
	*loop.Loop[string]
	Config
	quotas listers.ResourceQuotaLister
	kinds  *kinds
	now    func() time.Time

	mu       sync.Mutex
	watching map[schema.GroupResource]bool
	ctx      context.Context // of Run, for the watches that quotas ask for
	follows  sync.WaitGroup
}

// New makes the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Resync == 0 {
		cfg.Resync = DefaultResync
	}
	core := cfg.Informers.Core().V1()
	c := &Controller{
		Config: cfg, quotas: core.ResourceQuotas().Lister(), now: time.Now,
		kinds:    &kinds{discovery: cfg.Client.Discovery()},
		watching: map[schema.GroupResource]bool{quota.Pods: true},
	}
	c.Loop = loop.New(loop.Config[string]{Name: "resourcequota", Workers: 4, Reconcile: c.reconcile, Log: cfg.Log, Period: period})
	return c, errors.Join(
		c.On(core.ResourceQuotas().Informer(), loop.Each(func(q *corev1.ResourceQuota) { c.AddSoon(loop.Key(q)) })),
		c.On(core.Pods().Informer(), loop.Changes(c.podChanged)),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	err := c.Loop.Run(ctx)
	c.follows.Wait()
	return err
}

// podChanged wakes the quotas of the namespace when what a pod uses may have changed.
func (c *Controller) podChanged(old, now **corev1.Pod) {
	switch {
	case old == nil:
		c.wake((*now).Namespace)
	case now == nil:
		c.wake((*old).Namespace)
	default:
		t := c.now()
		if !equality.Semantic.DeepEqual(quota.Of(quota.Pods, *old, t), quota.Of(quota.Pods, *now, t)) {
			c.wake((*now).Namespace)
		}
	}
}

// wake counts all quotas of a namespace anew.
func (c *Controller) wake(namespace string) {
	list, err := c.quotas.ResourceQuotas(namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, q := range list {
		c.AddSoon(loop.Key(q))
	}
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	q, err := c.quotas.ResourceQuotas(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
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
	// The version that was read: a place that was given since must not be lost.
	if _, err := c.Client.CoreV1().ResourceQuotas(namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("write usage: %w", err)
	}
	return nil
}

// count is what the objects of the namespace use of a quota, and what is reserved in it
// for objects that are not there yet.
func (c *Controller) count(ctx context.Context, q *corev1.ResourceQuota) (corev1.ResourceList, error) {
	used := quota.Zero(q.Spec.Hard)
	reserved := quota.Reserved(q, c.now())
	if len(reserved) > 0 {
		// Its server takes them out; should that have crashed, they lapse.
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

// counted are the resources of which a quota limits something.
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
