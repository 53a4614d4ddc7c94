// Package persistentvolume binds claims to volumes, writes the phases of both, and protects
// either from deletion while it is in use.
//
// A binding is two references, volume to claim and claim to volume, written in that order;
// the volume's is the lock. Phases only report.
//
// Classes of the provisioner wheelhouse.dev/host-path get volumes from provision.go: a
// directory on one node's disk, which the volume's node affinity
// names. What a directory cannot be (a device, a copy of another volume, mount options) is
// refused with an event. Their data goes with the claim if the reclaim policy is Delete (reclaim.go),
// removed by that node's kubelet. Volumes of other classes are left to their
// provisioners; a manually created one with the policy Delete or Recycle needs a user, as its
// status reports.
package persistentvolume

import (
	"context"
	"errors"
	"sync"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	listers "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// item is a claim, or, without a namespace, a volume.
type item struct{ namespace, name string }

func (i item) String() string { return i.namespace + "/" + i.name }

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the volume binder, provisioner and protection controller. Make it with New.
// It has more than 30 methods because binding, provisioning and protection share one queue, so that no two of
// them change one volume or claim at a time.
type Controller struct {
	*loop.Loop[item]
	Config
	claims   listers.PersistentVolumeClaimLister
	volumes  listers.PersistentVolumeLister
	pods     listers.PodLister
	nodes    listers.NodeLister
	classes  storagelisters.StorageClassLister
	remove   func(ctx context.Context, node, volume string) error
	reclaims *loop.Loop[string]
	missing  sync.Map // of a volume's UID: since when its node is
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	f := cfg.Informers
	core := f.Core().V1()
	c := &Controller{
		Config:  cfg,
		claims:  core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(),
		pods:    core.Pods().Lister(),
		nodes:   core.Nodes().Lister(),
		classes: f.Storage().V1().StorageClasses().Lister(),
		remove:  RemoveByKubelet(cfg.Client),
	}
	// One worker: two claims must not choose the same volume at the same time.
	c.Loop = loop.New(loop.Config[item]{Name: cfg.Controller, Workers: 1, Reconcile: c.reconcile, Log: cfg.Log})
	c.reclaims = loop.New(loop.Config[string]{Name: cfg.Controller + "-reclaim", Workers: 4, Reconcile: c.reclaim, Log: cfg.Log})
	c.reclaims.Need(core.PersistentVolumes().Informer(), core.Nodes().Informer())
	c.Need(core.Nodes().Informer())
	return c, errors.Join(
		c.On(core.PersistentVolumeClaims().Informer(), loop.Each(func(claim *v1.PersistentVolumeClaim) {
			c.Add(item{claim.Namespace, claim.Name})
			if claim.Spec.VolumeName != "" {
				c.Add(item{"", claim.Spec.VolumeName})
			}
		})),
		c.On(core.PersistentVolumes().Informer(), loop.Each(c.volumeChanged)),
		c.On(core.Pods().Informer(), loop.Changes(c.podChanged)),
		c.On(f.Storage().V1().StorageClasses().Informer(), loop.Each(func(*storagev1.StorageClass) { c.enqueueUnbound() })),
	)
}

// Run binds and reclaims until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return loop.RunAll(ctx, c.Loop, c.reclaims) }

// Healthy returns why the controller does not work, or nil.
func (c *Controller) Healthy() error { return errors.Join(c.Loop.Healthy(), c.reclaims.Healthy()) }

// volumeChanged enqueues the volume, its claim, and all unbound claims.
func (c *Controller) volumeChanged(pv *v1.PersistentVolume) {
	c.Add(item{"", pv.Name})
	if ref := pv.Spec.ClaimRef; ref != nil {
		c.Add(item{ref.Namespace, ref.Name})
		if ref.UID != "" {
			return
		}
	}
	c.enqueueUnbound()
}

func (c *Controller) enqueueUnbound() {
	for _, claim := range loop.All(c.Log, c.claims.List) {
		if !bound(claim) {
			c.Add(item{claim.Namespace, claim.Name})
		}
	}
}

// podChanged enqueues claims that wait for their first consumer, or for the end of the last.
func (c *Controller) podChanged(old, now **v1.Pod) {
	if now != nil && !podfacts.Terminal(*now) {
		if old == nil {
			c.enqueueClaims(*now)
		}
		return
	}
	for _, claim := range loop.All(c.Log, c.claims.List) {
		if claim.DeletionTimestamp != nil {
			c.Add(item{claim.Namespace, claim.Name})
		}
	}
}

func (c *Controller) enqueueClaims(p *v1.Pod) {
	for i := range p.Spec.Volumes {
		if name := claimName(p, &p.Spec.Volumes[i]); name != "" {
			c.Add(item{p.Namespace, name})
		}
	}
}

func (c *Controller) reconcile(ctx context.Context, i item) error {
	if i.namespace == "" {
		pv, err := c.volumes.Get(i.name)
		if err != nil {
			return loop.IgnoreNotFound(err)
		}
		return c.reconcileVolume(ctx, pv)
	}
	claim, err := c.claims.PersistentVolumeClaims(i.namespace).Get(i.name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	return c.reconcileClaim(ctx, claim)
}
