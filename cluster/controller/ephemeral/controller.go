// Package ephemeral creates the claims of pods' generic ephemeral volumes: one for each, from
// the template in the pod, owned by the pod and deleted with it. It never binds a claim.
package ephemeral

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	listers "k8s.io/client-go/listers/core/v1"
	names "k8s.io/component-helpers/storage/ephemeral"

	"wheelhouse/cluster/controller/loop"
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the ephemeral volume controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	pods   listers.PodLister
	claims listers.PersistentVolumeClaimLister
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	pods, claims := cfg.Informers.Core().V1().Pods(), cfg.Informers.Core().V1().PersistentVolumeClaims()
	c := &Controller{Config: cfg, pods: pods.Lister(), claims: claims.Lister()}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Reconcile: c.reconcile, Log: cfg.Log})
	add := func(p *v1.Pod) {
		if hasEphemeral(p) {
			c.Add(loop.Key(p))
		}
	}
	return c, errors.Join(
		c.On(pods.Informer(), loop.Each(add)),
		// A deleted claim may have had the name that a pod waits for.
		c.On(claims.Informer(), loop.Changes(func(old, now **v1.PersistentVolumeClaim) {
			if now == nil {
				for _, p := range loop.All(c.Log, c.pods.Pods((*old).Namespace).List) {
					add(p)
				}
			}
		})),
	)
}

// hasEphemeral reports whether the pod has generic ephemeral volumes and is not being deleted.
func hasEphemeral(p *v1.Pod) bool {
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
	if apierrors.IsNotFound(err) || err == nil && !hasEphemeral(p) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
			if err := c.claim(ctx, p, v); err != nil {
				c.Recorder.Event(p, v1.EventTypeWarning, "FailedBinding", fmt.Sprintf("ephemeral volume %s: %v", v.Name, err))
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
	_, err = c.Client.CoreV1().PersistentVolumeClaims(p.Namespace).Create(ctx, claim, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // the next reconcile reads whose it is
		return nil
	}
	if err != nil {
		return fmt.Errorf("create PVC %s: %w", name, err)
	}
	return nil
}
