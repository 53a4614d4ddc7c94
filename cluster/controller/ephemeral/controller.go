// Package ephemeral makes the claims of pods' generic ephemeral volumes: one for each,
// by the template in the pod, owned by the pod and gone with it. Which volume a claim
// gets is for others.
package ephemeral

import (
	"context"
	"fmt"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	names "k8s.io/component-helpers/storage/ephemeral"

	"wheelhouse/cluster/controller/loop"
)

// Controller creates claims.
type Controller struct {
	*loop.Loop[string]
	client kubernetes.Interface
	pods   listers.PodLister
	claims listers.PersistentVolumeClaimLister
	events record.EventRecorder
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, events record.EventRecorder, log *slog.Logger) (*Controller, error) {
	pods, claims := f.Core().V1().Pods(), f.Core().V1().PersistentVolumeClaims()
	c := &Controller{client: client, pods: pods.Lister(), claims: claims.Lister(), events: events}
	c.Loop = loop.New(loop.Config[string]{Name: "ephemeralvolume", Reconcile: c.reconcile, Log: log})
	if err := c.On(pods.Informer(), loop.Each(func(p *v1.Pod) {
		if wants(p) {
			c.Add(loop.Key(p))
		}
	})); err != nil {
		return nil, err
	}
	// A claim that is gone may have had the name that a pod waits for.
	err := c.On(claims.Informer(), loop.Changes(func(old, now **v1.PersistentVolumeClaim) {
		if now != nil || old == nil {
			return
		}
		all, err := c.pods.Pods((*old).Namespace).List(labels.Everything())
		if err != nil { // a cache's lister does not fail
			return
		}
		for _, p := range all {
			if wants(p) {
				c.Add(loop.Key(p))
			}
		}
	}))
	return c, err
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "ephemeralvolume" }

// wants tells whether the pod has volumes that this is about.
func wants(p *v1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Ephemeral != nil {
			return true
		}
	}
	return false
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	p, err := c.pods.Pods(namespace).Get(name)
	if apierrors.IsNotFound(err) || err == nil && !wants(p) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			if err := c.claim(ctx, p, v); err != nil {
				c.events.Event(p, v1.EventTypeWarning, "FailedBinding", fmt.Sprintf("ephemeral volume %s: %v", v.Name, err))
				return fmt.Errorf("pod %s, ephemeral volume %s: %w", key, v.Name, err)
			}
		}
	}
	return nil
}

func (c *Controller) claim(ctx context.Context, p *v1.Pod, v *v1.Volume) error {
	name := names.VolumeClaimName(p, v)
	have, err := c.claims.PersistentVolumeClaims(p.Namespace).Get(name)
	if err == nil {
		return names.VolumeIsForPod(p, have)
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	template := v.Ephemeral.VolumeClaimTemplate
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p, v1.SchemeGroupVersion.WithKind("Pod"))},
		},
		Spec: template.Spec,
	}
	_, err = c.client.CoreV1().PersistentVolumeClaims(p.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // the cache will tell whose it is
		return nil
	}
	if err != nil {
		return fmt.Errorf("create PVC %s: %w", name, err)
	}
	return nil
}
