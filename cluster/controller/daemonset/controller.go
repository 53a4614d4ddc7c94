// Package daemonset runs one pod on each node that suits.
//
// It decides which nodes those are, and says so in each pod as an affinity to the
// node's name; the scheduler still does the binding. Pods that have ended are
// replaced, with a growing delay per node. Templates of before are kept as
// ControllerRevisions. The end of the pods of a deleted set is the garbage
// collector's.
package daemonset

import (
	"log/slog"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

var kind = apps.SchemeGroupVersion.WithKind("DaemonSet")

const (
	// settle is how long changes of one set's pods are gathered into one reconcile.
	settle = 50 * time.Millisecond
	// A pod that fails at once is replaced after these delays.
	firstBackOff = time.Second
	lastBackOff  = 15 * time.Minute
)

// Controller is the daemon set controller.
type Controller struct {
	*loop.Loop[string]
	client   kubernetes.Interface
	recorder record.EventRecorder
	sets     appslisters.DaemonSetLister
	pods     listers.PodLister
	nodes    listers.NodeLister
	history  *history.History
	expect   *replication.Expectations
	failures *flowcontrol.Backoff
	now      func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	sets, pods, nodes := f.Apps().V1().DaemonSets(), f.Core().V1().Pods(), f.Core().V1().Nodes()
	c := &Controller{
		client: client, recorder: recorder,
		sets: sets.Lister(), pods: pods.Lister(), nodes: nodes.Lister(),
		history:  history.New(client, f),
		expect:   replication.NewExpectations(time.Now),
		failures: flowcontrol.NewBackOff(firstBackOff, lastBackOff),
		now:      time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: "daemonset", Workers: 2, Reconcile: c.reconcile, Log: log, Period: settle})
	router := &replication.Router{Kind: kind, Expect: c.expect, Wake: c.AddSoon, Orphan: c.orphan}
	if err := c.On(sets.Informer(), loop.Each(func(d *apps.DaemonSet) { c.Add(loop.Key(d)) })); err != nil {
		return nil, err
	}
	if err := c.On(pods.Informer(), loop.Changes(router.Changed)); err != nil {
		return nil, err
	}
	if err := c.On(nodes.Informer(), loop.Changes(c.nodeChanged)); err != nil {
		return nil, err
	}
	return c, c.On(c.history.Informer(), history.Handler(kind, c.AddSoon))
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "daemonset" }

// nodeChanged wakes the sets for which a node has become another matter. A node's
// heartbeats are none.
func (c *Controller) nodeChanged(old, now **v1.Node) {
	if old != nil && now != nil &&
		equality.Semantic.DeepEqual((*old).Labels, (*now).Labels) &&
		equality.Semantic.DeepEqual((*old).Spec.Taints, (*now).Spec.Taints) {
		return
	}
	all, err := c.sets.List(labels.Everything())
	if err != nil {
		return
	}
	for _, ds := range all {
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

// orphan wakes the sets that could adopt p.
func (c *Controller) orphan(p *v1.Pod) {
	all, err := c.sets.DaemonSets(p.Namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, ds := range all {
		if s, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector); err == nil && s.Matches(labels.Set(p.Labels)) {
			c.AddSoon(loop.Key(ds))
		}
	}
}
