// Package daemonset runs one pod on each eligible node.
//
// It decides which nodes are eligible, and writes each pod an affinity to its node's name;
// the scheduler binds it. Terminal pods are replaced, with backoff per node. Former
// templates are kept as ControllerRevisions. It leaves the pods of a deleted set to
// the garbage collector.
package daemonset

import (
	"errors"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/flowcontrol"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

var kind = apps.SchemeGroupVersion.WithKind("DaemonSet")

const (
	// debounce is the minimum time between two reconciles of one set.
	debounce = 50 * time.Millisecond
	// Failed pods of a node are replaced after a backoff between these delays.
	minBackoff = time.Second
	maxBackoff = 15 * time.Minute
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the DaemonSet controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	sets    appslisters.DaemonSetLister
	pods    listers.PodLister
	nodes   listers.NodeLister
	history *history.History
	control *podcontrol.Control
	backoff *flowcontrol.Backoff
	now     func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	f := cfg.Informers
	sets, pods, nodes := f.Apps().V1().DaemonSets(), f.Core().V1().Pods(), f.Core().V1().Nodes()
	c := &Controller{
		Config: cfg,
		sets:   sets.Lister(), pods: pods.Lister(), nodes: nodes.Lister(),
		history: history.New(cfg, kind),
		control: podcontrol.New(cfg, kind),
		backoff: flowcontrol.NewBackOff(minBackoff, maxBackoff),
		now:     time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 2, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	handler := podcontrol.PodHandler{Kind: kind, Expect: c.control.Expectations, Enqueue: c.AddSoon, Orphan: c.orphan}
	return c, errors.Join(
		c.On(sets.Informer(), loop.Each(func(d *apps.DaemonSet) { c.Add(loop.Key(d)) })),
		c.On(pods.Informer(), handler.Handler()),
		c.On(nodes.Informer(), loop.Changes(c.nodeChanged)),
		c.On(c.history.Informer(), c.history.Handler(c.AddSoon)),
	)
}

// nodeChanged enqueues the sets for which a node became eligible or stopped being so. A
// heartbeat changes nothing.
func (c *Controller) nodeChanged(old, now **v1.Node) {
	if old != nil && now != nil &&
		equality.Semantic.DeepEqual((*old).Labels, (*now).Labels) &&
		equality.Semantic.DeepEqual((*old).Spec.Taints, (*now).Spec.Taints) {
		return
	}
	for _, ds := range loop.All(c.Log, c.sets.List) {
		var was, is [2]bool
		if old != nil {
			was[0], was[1] = eligible(ds, *old)
		}
		if now != nil {
			is[0], is[1] = eligible(ds, *now)
		}
		if was != is {
			c.AddSoon(loop.Key(ds))
		}
	}
}

// orphan enqueues the sets that could adopt p.
func (c *Controller) orphan(p *v1.Pod) {
	podcontrol.EachSelecting(loop.All(c.Log, c.sets.DaemonSets(p.Namespace).List),
		func(ds *apps.DaemonSet) *metav1.LabelSelector { return ds.Spec.Selector }, p.Labels, func(ds *apps.DaemonSet) { c.AddSoon(loop.Key(ds)) })
}
