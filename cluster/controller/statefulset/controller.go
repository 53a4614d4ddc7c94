// Package statefulset runs pods that are not alike: each has a number, and with it
// a name, a host name and volume claims of its own, which its successors inherit.
//
// Pods start and stop one after the other unless the set is Parallel. Names follow
// from numbers, so that a stale cache meets "already exists" and not a duplicate,
// and the controller has nothing to remember. Claims are kept, or go, through
// their owners. It never deletes a claim itself.
package statefulset

import (
	"log/slog"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

var kind = apps.SchemeGroupVersion.WithKind("StatefulSet")

// settle is how long changes of one set's pods are gathered into one reconcile.
const settle = 50 * time.Millisecond

// Controller is the stateful set controller.
type Controller struct {
	*loop.Loop[string]
	client   kubernetes.Interface
	recorder record.EventRecorder
	sets     appslisters.StatefulSetLister
	pods     listers.PodLister
	claims   listers.PersistentVolumeClaimLister
	history  *history.History
	now      func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	sets, pods, claims := f.Apps().V1().StatefulSets(), f.Core().V1().Pods(), f.Core().V1().PersistentVolumeClaims()
	c := &Controller{
		client: client, recorder: recorder,
		sets: sets.Lister(), pods: pods.Lister(), claims: claims.Lister(),
		history: history.New(client, f), now: time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: "statefulset", Workers: 2, Reconcile: c.reconcile, Log: log, Period: settle})
	router := &replication.Router{Kind: kind, Wake: c.AddSoon, Orphan: c.orphan}
	if err := c.On(sets.Informer(), loop.Each(func(s *apps.StatefulSet) { c.Add(loop.Key(s)) })); err != nil {
		return nil, err
	}
	if err := c.On(pods.Informer(), loop.Changes(router.Changed)); err != nil {
		return nil, err
	}
	if err := c.On(claims.Informer(), loop.Changes(c.claimChanged)); err != nil {
		return nil, err
	}
	return c, c.On(c.history.Informer(), history.Handler(kind, c.AddSoon))
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "statefulset" }

// orphan wakes the sets that could adopt p.
func (c *Controller) orphan(p *v1.Pod) {
	c.each(p.Namespace, func(s *apps.StatefulSet) bool {
		selector, err := metav1.LabelSelectorAsSelector(s.Spec.Selector)
		return err == nil && ordinalOf(s, p) >= 0 && selector.Matches(labels.Set(p.Labels))
	})
}

// claimChanged wakes the sets whose pods may wait for a claim to go.
func (c *Controller) claimChanged(old, now **v1.PersistentVolumeClaim) {
	if now != nil {
		return
	}
	gone := labels.Set((*old).Labels)
	c.each((*old).Namespace, func(s *apps.StatefulSet) bool {
		selector, err := metav1.LabelSelectorAsSelector(s.Spec.Selector)
		return err == nil && len(s.Spec.VolumeClaimTemplates) > 0 && selector.Matches(gone)
	})
}

func (c *Controller) each(namespace string, concerned func(*apps.StatefulSet) bool) {
	all, err := c.sets.StatefulSets(namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, s := range all {
		if concerned(s) {
			c.AddSoon(loop.Key(s))
		}
	}
}
