// Package persistentvolume binds claims to volumes, tells both what became of
// them, and keeps either from going while it is in use.
//
// A binding is two references, volume to claim and claim to volume, written in
// that order; the volume's is the lock. Phases only report.
//
// Classes of the provisioner wheelhouse.dev/host-path get volumes made here
// (provision.go): a folder on one node's disk, which the volume's node affinity
// names. Their data goes with the claim if the reclaim policy is Delete (reclaim.go),
// removed by that node's kubelet. Volumes of others are left to their provisioners;
// one made by hand with the policy Delete or Recycle needs a person, which its status
// says.
package persistentvolume

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

// item is a claim, or, without a namespace, a volume.
type item struct{ namespace, name string }

func (i item) String() string { return i.namespace + "/" + i.name }

// Controller binds and protects.
type Controller struct {
	*loop.Loop[item]
	client   kubernetes.Interface
	recorder record.EventRecorder
	claims   listers.PersistentVolumeClaimLister
	volumes  listers.PersistentVolumeLister
	pods     listers.PodLister
	nodes    listers.NodeLister
	classes  storagelisters.StorageClassLister
	remove   func(ctx context.Context, node, volume string) error
	reclaims *loop.Loop[string]
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, rec record.EventRecorder, log *slog.Logger) (*Controller, error) {
	core := f.Core().V1()
	c := &Controller{
		client: client, recorder: rec,
		claims:  core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(),
		pods:    core.Pods().Lister(),
		nodes:   core.Nodes().Lister(),
		classes: f.Storage().V1().StorageClasses().Lister(),
		remove:  RemoveByKubelet(client),
	}
	// One worker: two claims must not choose the same volume at the same time.
	c.Loop = loop.New(loop.Config[item]{Name: "persistentvolume-binder", Workers: 1, Reconcile: c.reconcile, Log: log})
	c.reclaims = loop.New(loop.Config[string]{Name: "persistentvolume-reclaim", Workers: 4, Reconcile: c.reclaim, Log: log})
	c.reclaims.Need(core.PersistentVolumes().Informer())
	c.reclaims.Need(core.Nodes().Informer())
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
		c.On(f.Storage().V1().StorageClasses().Informer(), loop.Each(func(*storagev1.StorageClass) { c.wakeUnbound() })),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// Run binds and reclaims until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var reclaimErr error
	wg.Go(func() { reclaimErr = c.reclaims.Run(ctx) })
	err := c.Loop.Run(ctx)
	wg.Wait()
	return errors.Join(err, reclaimErr)
}

// Healthy says why the controller does not work, or nil.
func (c *Controller) Healthy() error { return errors.Join(c.Loop.Healthy(), c.reclaims.Healthy()) }

// volumeChanged wakes the volume, its claim, and all claims that look for one.
func (c *Controller) volumeChanged(pv *v1.PersistentVolume) {
	c.Add(item{"", pv.Name})
	if ref := pv.Spec.ClaimRef; ref != nil {
		c.Add(item{ref.Namespace, ref.Name})
		if ref.UID != "" {
			return
		}
	}
	c.wakeUnbound()
}

func (c *Controller) wakeUnbound() {
	claims, err := c.claims.List(labels.Everything())
	if err != nil {
		return
	}
	for _, claim := range claims {
		if !bound(claim) {
			c.Add(item{claim.Namespace, claim.Name})
		}
	}
}

// podChanged wakes claims that wait for their first user to come, or for their last
// to end.
func (c *Controller) podChanged(old, now **v1.Pod) {
	if now != nil && !podfacts.Terminal(*now) {
		if old == nil {
			c.wakeClaims(*now)
		}
		return
	}
	claims, err := c.claims.List(labels.Everything())
	if err != nil {
		return
	}
	for _, claim := range claims {
		if claim.DeletionTimestamp != nil {
			c.Add(item{claim.Namespace, claim.Name})
		}
	}
}

func (c *Controller) wakeClaims(p *v1.Pod) {
	for i := range p.Spec.Volumes {
		if name := claimName(p, &p.Spec.Volumes[i]); name != "" {
			c.Add(item{p.Namespace, name})
		}
	}
}

func (c *Controller) reconcile(ctx context.Context, i item) error {
	if i.namespace == "" {
		pv, err := c.volumes.Get(i.name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return c.volume(ctx, pv)
	}
	claim, err := c.claims.PersistentVolumeClaims(i.namespace).Get(i.name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.claim(ctx, claim)
}
