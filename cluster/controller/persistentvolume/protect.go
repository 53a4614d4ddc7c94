package persistentvolume

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/ephemeral"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

const (
	claimFinalizer  = "kubernetes.io/pvc-protection"
	volumeFinalizer = "kubernetes.io/pv-protection"
)

// protectClaim keeps a claim while a pod uses it. done ends the reconcile.
func (c *Controller) protectClaim(ctx context.Context, claim *v1.PersistentVolumeClaim) (done bool, err error) {
	has := slices.Contains(claim.Finalizers, claimFinalizer)
	dying := claim.DeletionTimestamp != nil
	if has != dying {
		return dying, nil
	}
	if dying {
		used, err := c.used(ctx, claim)
		if used || err != nil {
			return true, err
		}
	}
	next := claim.DeepCopy()
	next.Finalizers = toggle(next.Finalizers, claimFinalizer)
	_, err = c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	return true, written("claim", err)
}

// protectVolume keeps a volume while a claim is bound to it.
func (c *Controller) protectVolume(ctx context.Context, pv *v1.PersistentVolume) (done bool, err error) {
	has := slices.Contains(pv.Finalizers, volumeFinalizer)
	dying := pv.DeletionTimestamp != nil
	if has != dying {
		return false, nil
	}
	if dying && pv.Status.Phase == v1.VolumeBound && pv.Spec.ClaimRef != nil {
		if claim, err := c.claimOf(ctx, pv.Spec.ClaimRef); claim != nil || err != nil {
			return true, err
		}
	}
	next := pv.DeepCopy()
	next.Finalizers = toggle(next.Finalizers, volumeFinalizer)
	_, err = c.Client.CoreV1().PersistentVolumes().Update(ctx, next, metav1.UpdateOptions{})
	return true, written("volume", err)
}

func toggle(list []string, one string) []string {
	if slices.Contains(list, one) {
		return slices.DeleteFunc(list, func(s string) bool { return s == one })
	}
	return append(list, one)
}

// used reads the API server, not only the cache: a pod may just have been created.
func (c *Controller) used(ctx context.Context, claim *v1.PersistentVolumeClaim) (bool, error) {
	pods, err := c.pods.Pods(claim.Namespace).List(labels.Everything())
	if err != nil {
		return false, fmt.Errorf("list pods: %w", err)
	}
	for _, p := range pods {
		if uses(p, claim) {
			return true, nil
		}
	}
	live, err := c.Client.CoreV1().Pods(claim.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list pods: %w", err)
	}
	for i := range live.Items {
		if uses(&live.Items[i], claim) {
			return true, nil
		}
	}
	return false, nil
}

// uses reports whether a pod on a node holds the claim.
func uses(p *v1.Pod, claim *v1.PersistentVolumeClaim) bool {
	return p.Spec.NodeName != "" && !podfacts.Terminal(p) && names(p, claim)
}

// names reports whether the claim is among the pod's volumes.
func names(p *v1.Pod, claim *v1.PersistentVolumeClaim) bool {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		if claimName(p, v) == claim.Name && (v.Ephemeral == nil || metav1.IsControlledBy(claim, p)) {
			return true
		}
	}
	return false
}

// claimName returns the claim of a pod's volume, "" if there is none.
func claimName(p *v1.Pod, v *v1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return ephemeral.VolumeClaimName(p, v)
	}
	return ""
}

func written(what string, err error) error {
	if loop.IgnoreNotFound(err) == nil {
		return nil
	}
	return fmt.Errorf("protect %s: %w", what, err)
}
