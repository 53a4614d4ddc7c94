// Package statefulset runs pods with an identity: an ordinal, and with it a name, a host
// name and volume claims, which a recreated pod has again.
//
// Pods start and stop in order unless the set is Parallel. Names are derived from ordinals,
// so a stale cache leads to AlreadyExists and not to a duplicate, and the controller
// needs no expectations. Claims are kept or deleted through their ownerReferences; the
// controller never deletes a claim itself.
package statefulset

import (
	"errors"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appslisters "k8s.io/client-go/listers/apps/v1"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/controller/history"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

var kind = apps.SchemeGroupVersion.WithKind("StatefulSet")

// debounce is the minimum time between two reconciles of one set.
const debounce = 50 * time.Millisecond

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the StatefulSet controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	sets    appslisters.StatefulSetLister
	pods    listers.PodLister
	claims  listers.PersistentVolumeClaimLister
	history *history.History
	now     func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	f := cfg.Informers
	sets, pods, claims := f.Apps().V1().StatefulSets(), f.Core().V1().Pods(), f.Core().V1().PersistentVolumeClaims()
	c := &Controller{
		Config: cfg, sets: sets.Lister(), pods: pods.Lister(), claims: claims.Lister(),
		history: history.New(cfg, kind), now: time.Now,
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 2, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	handler := podcontrol.PodHandler{Kind: kind, Enqueue: c.AddSoon, Orphan: c.orphan}
	return c, errors.Join(
		c.On(sets.Informer(), loop.Each(func(s *apps.StatefulSet) { c.Add(loop.Key(s)) })),
		c.On(pods.Informer(), handler.Handler()),
		c.On(claims.Informer(), loop.Changes(c.claimChanged)),
		c.On(c.history.Informer(), c.history.Handler(c.AddSoon)),
	)
}

// orphan enqueues the sets that could adopt p.
func (c *Controller) orphan(p *v1.Pod) {
	c.enqueueSelecting(p, func(s *apps.StatefulSet) bool { return ordinalOf(s, p) >= 0 })
}

// claimChanged enqueues the sets whose pods may wait for the deletion of a claim.
func (c *Controller) claimChanged(old, now **v1.PersistentVolumeClaim) {
	if now == nil {
		c.enqueueSelecting(*old, func(s *apps.StatefulSet) bool { return len(s.Spec.VolumeClaimTemplates) > 0 })
	}
}

func (c *Controller) enqueueSelecting(o metav1.Object, concerned func(*apps.StatefulSet) bool) {
	podcontrol.EachSelecting(loop.All(c.Log, c.sets.StatefulSets(o.GetNamespace()).List),
		func(s *apps.StatefulSet) *metav1.LabelSelector { return s.Spec.Selector }, o.GetLabels(), func(s *apps.StatefulSet) {
			if concerned(s) {
				c.AddSoon(loop.Key(s))
			}
		})
}
