// Package node is the node lifecycle controller.
//
// A node without a heartbeat (a renewed Lease, a reported Ready condition) for the grace
// period gets its conditions set to Unknown. Conditions and cordon (spec.unschedulable) become
// taints; pods that do not tolerate a NoExecute taint, or no longer, are evicted; the pods of
// a node that is not ready are set not ready, so that services stop routing to them at once.
// Nodes without a podCIDR get one, and an annotation with which larger clusters ask their
// kubelets to cache Secrets for longer.
//
// While no node at all is ready, nothing is evicted: then the control plane is more likely
// at fault. It never deletes a Node.
package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	leases "k8s.io/client-go/listers/coordination/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
)

// Defaults, as upstream.
const (
	DefaultGrace = 40 * time.Second
	DefaultMask  = 24
)

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Evictions record.EventRecorder // of pods that do not tolerate their node; nil is Recorder
	// Grace is how long a node may be without a heartbeat; 0 is DefaultGrace.
	Grace time.Duration
	// EvictAfter caps how long pods stay on a node that is not ready or unreachable,
	// whatever tolerationSeconds they have; pods that tolerate it indefinitely stay. 0 is no
	// cap: five minutes for most pods.
	EvictAfter time.Duration
	// ClusterCIDR is divided into podCIDRs of /MaskSize; "" assigns none.
	ClusterCIDR string
	MaskSize    int
}

// Controller is the node lifecycle controller. Make it with New.
type Controller struct {
	Config
	nodes *loop.Loop[string] // by node
	evict *loop.Loop[string] // by pod

	nodeLister  listers.NodeLister
	podLister   listers.PodLister
	leaseLister leases.LeaseLister
	now         func() time.Time
	uptime      func() time.Duration // it goes on evenly when the clock is set

	mu         sync.Mutex // guards the rest
	heartbeats map[string]*heartbeat
	tolerating map[types.UID]time.Time // pods on tainted nodes, and since when that is known
	evicting   map[types.UID]eviction  // those of them that are evicted, or will be
	subnets    *subnets                // nil: none are assigned
	registered map[string]types.UID    // the nodes of which that is recorded
	ttlStep    int                     // of ttlSteps
}

// New returns the controller; nothing runs before Run.
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
	core, coord, start := cfg.Informers.Core().V1(), cfg.Informers.Coordination().V1(), time.Now()
	c := &Controller{
		Config: cfg, now: time.Now, uptime: func() time.Duration { return time.Since(start) }, heartbeats: map[string]*heartbeat{}, tolerating: map[types.UID]time.Time{}, evicting: map[types.UID]eviction{}, registered: map[string]types.UID{},
		nodeLister: core.Nodes().Lister(), podLister: core.Pods().Lister(), leaseLister: coord.Leases().Lister(),
	}
	if cfg.ClusterCIDR != "" {
		var err error
		if c.subnets, err = newSubnets(cfg.ClusterCIDR, cfg.MaskSize); err != nil {
			return nil, err
		}
	}
	c.nodes = loop.New(loop.Config[string]{Name: cfg.Controller + "-lifecycle", Workers: 4, Reconcile: c.reconcile, Log: cfg.Log})
	c.evict = loop.New(loop.Config[string]{Name: cfg.Controller + "-eviction", Workers: 4, Reconcile: c.evictPod, Log: cfg.Log})
	c.evict.Need(core.Nodes().Informer())
	c.nodes.Need(core.Pods().Informer())
	return c, errors.Join(
		c.nodes.On(core.Nodes().Informer(), loop.Changes(c.nodeChanged)),
		c.nodes.On(coord.Leases().Informer(), loop.Each(func(l *coordination.Lease) {
			if l.Namespace == v1.NamespaceNodeLease {
				c.heartbeat(l.Name)
			}
		})),
		c.evict.On(core.Pods().Informer(), loop.Changes(func(old, now **v1.Pod) {
			if now == nil {
				c.forget((*old).UID)
			}
			if now != nil && (*now).Spec.NodeName != "" && (*now).DeletionTimestamp == nil && c.tainted((*now).Spec.NodeName) {
				c.evict.Add(loop.Key(*now))
			}
		})),
	)
}

// Run reconciles nodes and pods until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return loop.RunAll(ctx, c.nodes, c.evict) }

// Healthy returns why the controller does not work, or nil.
func (c *Controller) Healthy() error { return errors.Join(c.nodes.Healthy(), c.evict.Healthy()) }

func (c *Controller) nodeChanged(old, now **v1.Node) {
	if now == nil {
		c.mu.Lock()
		delete(c.heartbeats, (*old).Name)
		if c.subnets != nil {
			c.subnets.free((*old).Name)
		}
		c.mu.Unlock()
		c.nodes.Add((*old).Name)
		return
	}
	n := *now
	c.mu.Lock()
	if c.subnets != nil && n.Spec.PodCIDR != "" {
		c.subnets.take(n.Name, n.Spec.PodCIDR)
	}
	c.mu.Unlock()
	c.heartbeat(n.Name)
	c.nodes.Add(n.Name)
	if old == nil || noExecute(*old) != noExecute(n) {
		c.enqueuePods(n.Name)
	}
}

// heartbeat updates and returns a node's last heartbeat, from its Lease and status.
func (c *Controller) heartbeat(name string) heartbeat {
	c.mu.Lock() // what two callers find is recorded in the order in which they find it
	defer c.mu.Unlock()
	node, err := c.nodeLister.Get(name)
	if err != nil {
		return heartbeat{seen: c.now()}
	}
	var renewed metav1.Time
	if l, err := c.leaseLister.Leases(v1.NamespaceNodeLease).Get(name); err == nil && l.Spec.RenewTime != nil {
		renewed = metav1.Time{Time: l.Spec.RenewTime.Time}
	}
	p := c.heartbeats[name]
	if p == nil {
		p = &heartbeat{}
		c.heartbeats[name] = p
	}
	p.update(node, renewed, c.now())
	return *p
}

// noExecute returns the NoExecute taints in a form to compare.
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

func (c *Controller) enqueuePods(node string) {
	for _, p := range c.podsOn(node) {
		c.evict.Add(loop.Key(p))
	}
}

// podsOn reads all pods: it is called only when a node's state changes.
func (c *Controller) podsOn(node string) []*v1.Pod {
	all := slices.Clone(loop.All(c.Log, c.podLister.List))
	return slices.DeleteFunc(all, func(p *v1.Pod) bool { return p.Spec.NodeName != node })
}

func (c *Controller) reconcile(ctx context.Context, name string) error {
	node, err := c.nodeLister.Get(name)
	if loop.IgnoreNotFound(err) != nil {
		return err
	}
	if err != nil {
		node = nil
	}
	c.recordMembership(name, node)
	if node == nil {
		return nil
	}
	if node, err = c.annotate(ctx, node); err != nil {
		return err
	}
	if node, err = c.assignCIDR(ctx, node); err != nil {
		return err
	}
	left := c.heartbeat(name).seen.Add(c.Grace).Sub(c.now())
	if left > 0 {
		c.nodes.AddAfter(name, left)
	} else if node, err = c.markUnknown(ctx, node); err != nil {
		return err
	}
	if node, err = c.taint(ctx, node); err != nil {
		return err
	}
	if ready(node) != v1.ConditionTrue {
		return c.markPods(ctx, node)
	}
	return nil
}

// taint writes the taints that a node should have.
func (c *Controller) taint(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	taints, changed := desiredTaints(node, metav1.NewTime(c.now()))
	if !changed {
		return node, nil
	}
	next := node.DeepCopy()
	next.Spec.Taints = taints
	next, err := c.Client.CoreV1().Nodes().Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("taint node: %w", err)
	}
	return next, nil
}

// recordMembership records that a node has come, or, if it is nil, that it has gone. After a
// start all nodes come, as upstream.
func (c *Controller) recordMembership(name string, node *v1.Node) {
	c.mu.Lock()
	was, known := c.registered[name]
	delete(c.registered, name)
	if node != nil {
		c.registered[name] = node.UID
	}
	c.mu.Unlock()
	ref := func(uid types.UID) *v1.ObjectReference {
		return &v1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: uid}
	}
	if known && (node == nil || node.UID != was) {
		c.Recorder.Eventf(ref(was), v1.EventTypeNormal, "RemovingNode", "Node %s event: Removing Node %s from Controller", name, name)
	}
	if node != nil && (!known || node.UID != was) {
		c.Recorder.Eventf(ref(node.UID), v1.EventTypeNormal, "RegisteredNode", "Node %s event: Registered Node %s in Controller", name, name)
	}
}

func (c *Controller) assignCIDR(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	if c.subnets == nil || node.Spec.PodCIDR != "" || node.DeletionTimestamp != nil {
		return node, nil
	}
	c.mu.Lock()
	cidr, err := c.subnets.assign(node.Name)
	c.mu.Unlock()
	if err != nil {
		c.Recorder.Event(node, v1.EventTypeWarning, "CIDRNotAvailable", err.Error())
		return nil, err
	}
	next := node.DeepCopy()
	next.Spec.PodCIDR, next.Spec.PodCIDRs = cidr, []string{cidr}
	if next, err = c.Client.CoreV1().Nodes().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("assign pod CIDR: %w", err)
	}
	return next, nil
}

// markUnknown sets the conditions of a node without heartbeat to Unknown.
func (c *Controller) markUnknown(ctx context.Context, node *v1.Node) (*v1.Node, error) {
	conds, changed := unknownConditions(node, metav1.NewTime(c.now()))
	if !changed {
		return node, nil
	}
	next := node.DeepCopy()
	next.Status.Conditions = conds
	next, err := c.Client.CoreV1().Nodes().UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("node status: %w", err)
	}
	c.Log.Warn("node has no heartbeat", "node", node.Name, "grace", c.Grace)
	c.Recorder.Eventf(next, v1.EventTypeNormal, "NodeNotReady", "Node %s status is now: NodeNotReady", node.Name)
	return next, nil
}
