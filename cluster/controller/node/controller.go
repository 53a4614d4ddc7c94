// Package node follows whether nodes live, and does what follows from it.
//
// A node that gives no sign of life (a Lease renewed, a Ready condition reported)
// for the grace period gets its conditions set to Unknown. Conditions and cordon
// become taints; pods that do not tolerate a NoExecute taint, or no longer, are
// deleted; the pods of a node that is not ready are marked not ready, so that
// services stop sending to them at once. Nodes without a pod network get one.
//
// While no node at all is ready, nothing is evicted: then the fault is more likely
// here than there.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	leases "k8s.io/client-go/listers/coordination/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
)

// Defaults, as upstream.
const (
	DefaultGrace = 40 * time.Second
	DefaultMask  = 24
	// firstWords is within which a new node says how it is; creation times are whole seconds.
	firstWords = 2 * time.Second
)

// Config is what the controller works with.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  record.EventRecorder
	Evictions record.EventRecorder // of pods that do not tolerate their node; nil is Recorder
	Log       *slog.Logger
	// Grace is how long a node may be silent; 0 is DefaultGrace.
	Grace time.Duration
	// EvictAfter caps how long pods stay on a node that is not ready or not
	// reachable, whatever seconds they tolerate; pods that tolerate it for ever
	// stay. 0 means no cap: five minutes for most pods.
	EvictAfter time.Duration
	// ClusterCIDR is cut into parts of /MaskSize for nodes that have no podCIDR;
	// "" leaves them without.
	ClusterCIDR string
	MaskSize    int
}

// Controller is made with New.
type Controller struct {
	Config
	nodes *loop.Loop[string] // by node
	evict *loop.Loop[string] // by pod

	nodeLister  listers.NodeLister
	podLister   listers.PodLister
	leaseLister leases.LeaseLister
	now         func() time.Time

	mu      sync.Mutex // guards the rest
	pulses  map[string]*pulse
	seen    map[types.UID]time.Time // pods on tainted nodes, and since when that is known
	counted map[types.UID]bool      // those of them whose time is running out
	subnets *subnets                // nil: none are given out
}

// New makes the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.MaskSize == 0 {
		cfg.MaskSize = DefaultMask
	}
	if cfg.Evictions == nil {
		cfg.Evictions = cfg.Recorder
	}
	core, coord := cfg.Informers.Core().V1(), cfg.Informers.Coordination().V1()
	c := &Controller{
		Config: cfg, now: time.Now, pulses: map[string]*pulse{}, seen: map[types.UID]time.Time{}, counted: map[types.UID]bool{},
		nodeLister: core.Nodes().Lister(), podLister: core.Pods().Lister(), leaseLister: coord.Leases().Lister(),
	}
	if cfg.ClusterCIDR != "" {
		var err error
		if c.subnets, err = newSubnets(cfg.ClusterCIDR, cfg.MaskSize); err != nil {
			return nil, err
		}
	}
	c.nodes = loop.New(loop.Config[string]{Name: "nodelifecycle", Workers: 4, Reconcile: c.reconcile, Log: cfg.Log})
	c.evict = loop.New(loop.Config[string]{Name: "eviction", Workers: 4, Reconcile: c.evictPod, Log: cfg.Log})
	c.evict.Need(core.Nodes().Informer())
	c.nodes.Need(core.Pods().Informer())
	return c, errors.Join(
		c.nodes.On(core.Nodes().Informer(), loop.Changes(c.nodeChanged)),
		c.nodes.On(coord.Leases().Informer(), loop.Each(func(l *coordination.Lease) {
			if l.Namespace == v1.NamespaceNodeLease {
				c.sign(l.Name)
			}
		})),
		c.evict.On(core.Pods().Informer(), loop.Changes(func(old, now **v1.Pod) {
			if now == nil {
				c.ended((*old).UID)
			}
			if now != nil && (*now).Spec.NodeName != "" && (*now).DeletionTimestamp == nil && c.tainted((*now).Spec.NodeName) {
				c.evict.Add(loop.Key(*now))
			}
		})),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "node" }

// Run follows the nodes until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	var evictErr error
	var wg sync.WaitGroup
	wg.Go(func() { evictErr = c.evict.Run(ctx) })
	err := c.nodes.Run(ctx)
	wg.Wait()
	return errors.Join(err, evictErr)
}

// Healthy says why the controller does not work, or nil.
func (c *Controller) Healthy() error { return errors.Join(c.nodes.Healthy(), c.evict.Healthy()) }

func (c *Controller) nodeChanged(old, now **v1.Node) {
	if now == nil {
		c.mu.Lock()
		delete(c.pulses, (*old).Name)
		if c.subnets != nil {
			c.subnets.free((*old).Name)
		}
		c.mu.Unlock()
		return
	}
	n := *now
	c.mu.Lock()
	if c.subnets != nil && n.Spec.PodCIDR != "" {
		c.subnets.take(n.Name, n.Spec.PodCIDR)
	}
	c.mu.Unlock()
	c.sign(n.Name)
	c.nodes.Add(n.Name)
	if old == nil || noExecute(*old) != noExecute(n) {
		c.wakePods(n.Name)
	}
}

// sign notes what the caches say of a node's life.
func (c *Controller) sign(name string) pulse {
	node, err := c.nodeLister.Get(name)
	if err != nil {
		return pulse{seen: c.now()}
	}
	var renewed metav1.Time
	if l, err := c.leaseLister.Leases(v1.NamespaceNodeLease).Get(name); err == nil && l.Spec.RenewTime != nil {
		renewed = metav1.Time{Time: l.Spec.RenewTime.Time}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pulses[name]
	if p == nil {
		p = &pulse{}
		c.pulses[name] = p
	}
	p.beat(node, renewed, c.now())
	return *p
}

// noExecute is the part of the taints that evicts, to compare.
func noExecute(n *v1.Node) string {
	var s string
	for i := range n.Spec.Taints {
		if t := &n.Spec.Taints[i]; t.Effect == v1.TaintEffectNoExecute {
			s += t.Key + "=" + t.Value + " "
		}
	}
	return s
}

func (c *Controller) tainted(name string) bool {
	n, err := c.nodeLister.Get(name)
	return err == nil && noExecute(n) != ""
}

func (c *Controller) wakePods(node string) {
	pods, err := c.podsOn(node)
	if err != nil {
		return
	}
	for _, p := range pods {
		c.evict.Add(loop.Key(p))
	}
}

// podsOn reads all pods: it is asked only when a node's state changes.
func (c *Controller) podsOn(node string) ([]*v1.Pod, error) {
	all, err := c.podLister.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var out []*v1.Pod
	for _, p := range all {
		if p.Spec.NodeName == node {
			out = append(out, p)
		}
	}
	return out, nil
}

func (c *Controller) reconcile(ctx context.Context, name string) error {
	node, err := c.nodeLister.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if wait := c.unspoken(node); wait > 0 {
		c.nodes.AddAfter(name, wait)
		return nil
	}
	if node, err = c.giveNetwork(ctx, node); err != nil {
		return err
	}
	left := c.sign(name).seen.Add(c.Grace).Sub(c.now())
	if left > 0 {
		c.nodes.AddAfter(name, left)
	} else if node, err = c.silent(ctx, node); err != nil {
		return err
	}
	if taints, changed := wantedTaints(node, metav1.NewTime(c.now())); changed {
		next := node.DeepCopy()
		next.Spec.Taints = taints
		if node, err = c.Client.CoreV1().Nodes().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("taint node: %w", err)
		}
	}
	if ready(node) != v1.ConditionTrue {
		return c.markPods(ctx, node)
	}
	return nil
}

// unspoken is how long a node that was just made is still left alone: whoever registers
// it writes its status next, on the version that the create answered with, and a write
// of ours in between would be in the way.
func (c *Controller) unspoken(node *v1.Node) time.Duration {
	if len(node.Status.Conditions) > 0 {
		return 0
	}
	age := c.now().Sub(node.CreationTimestamp.Time)
	return max(0, firstWords-max(0, age))
}

func (c *Controller) giveNetwork(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	if c.subnets == nil || node.Spec.PodCIDR != "" || node.DeletionTimestamp != nil {
		return node, nil
	}
	c.mu.Lock()
	cidr, err := c.subnets.give(node.Name)
	c.mu.Unlock()
	if err != nil {
		c.Recorder.Event(node, v1.EventTypeWarning, "CIDRNotAvailable", err.Error())
		return nil, err
	}
	next := node.DeepCopy()
	next.Spec.PodCIDR, next.Spec.PodCIDRs = cidr, []string{cidr}
	if next, err = c.Client.CoreV1().Nodes().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("give pod network: %w", err)
	}
	return next, nil
}

// silent says of a node in its own name that nobody knows how it is.
func (c *Controller) silent(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	conds, changed := silence(node, metav1.NewTime(c.now()))
	if !changed {
		return node, nil
	}
	next := node.DeepCopy()
	next.Status.Conditions = conds
	next, err := c.Client.CoreV1().Nodes().UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("node status: %w", err)
	}
	c.nodes.Log.Warn("node is silent", "node", node.Name, "grace", c.Grace)
	c.Recorder.Eventf(next, v1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", node.Name)
	return next, nil
}
