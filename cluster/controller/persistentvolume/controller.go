// Package persistentvolume binds claims to volumes, tells both what became of
// them, and keeps either from going while it is in use.
//
// A binding is two references, volume to claim and claim to volume, written in
// that order; the volume's is the lock. Phases only report. Reclaim policies:
// Retain leaves a released volume as it is; Delete and Recycle need somebody who
// can reach the data, which this controller cannot, and says so in an event and in
// the volume's status. Volumes are not provisioned.
package persistentvolume

import (
	"context"
	"errors"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

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
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, rec record.EventRecorder, log *slog.Logger) (*Controller, error) {
	core := f.Core().V1()
	c := &Controller{
		client: client, recorder: rec,
		claims:  core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(),
		pods:    core.Pods().Lister(),
	}
	// One worker: two claims must not choose the same volume at the same time.
	c.Loop = loop.New(loop.Config[item]{Name: "persistentvolume-binder", Workers: 1, Reconcile: c.reconcile, Log: log})
	return c, errors.Join(
		c.On(core.PersistentVolumeClaims().Informer(), loop.Each(func(claim *v1.PersistentVolumeClaim) {
			c.Add(item{claim.Namespace, claim.Name})
			if claim.Spec.VolumeName != "" {
				c.Add(item{"", claim.Spec.VolumeName})
			}
		})),
		c.On(core.PersistentVolumes().Informer(), loop.Each(c.volumeChanged)),
		c.On(core.Pods().Informer(), loop.Changes(c.podChanged)),
	)
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return c.Loop.Name }

// volumeChanged wakes the volume, its claim, and all claims that look for one.
func (c *Controller) volumeChanged(pv *v1.PersistentVolume) {
	c.Add(item{"", pv.Name})
	if ref := pv.Spec.ClaimRef; ref != nil {
		c.Add(item{ref.Namespace, ref.Name})
		if ref.UID != "" {
			return
		}
	}
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

// podChanged wakes claims that wait for their last user to end.
func (c *Controller) podChanged(_, now **v1.Pod) {
	if now != nil && !ended(*now) {
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
