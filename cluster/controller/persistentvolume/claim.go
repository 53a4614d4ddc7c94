package persistentvolume

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

// reconcileClaim performs the next step for one claim.
func (c *Controller) reconcileClaim(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	if done, err := c.protectClaim(ctx, claim); done || err != nil {
		return err
	}
	switch {
	case bound(claim):
		return c.checkBound(ctx, claim)
	case claim.Spec.VolumeName != "":
		return c.bindNamed(ctx, claim)
	}
	volumes, err := c.volumes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list volumes: %w", err)
	}
	pv, err := match(claim, volumes, c.waits(claim))
	if err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if pv == nil {
		return c.unmatched(ctx, claim, volumes)
	}
	return c.bind(ctx, pv, claim)
}

// waits reports whether the scheduler selects the claim's volume, with its pod's node.
func (c *Controller) waits(claim *v1.PersistentVolumeClaim) bool {
	yes, err := volume.IsDelayBindingMode(claim, c.classes)
	return yes && err == nil
}

// bindNamed binds a claim that names its volume. If the volume names the claim too, it is
// bound whether it fits or not.
func (c *Controller) bindNamed(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	pv, err := c.volumes.Get(claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) {
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	if err != nil {
		return err
	}
	if pv.Spec.ClaimRef != nil && !volume.IsVolumeBoundToClaim(pv, claim) {
		c.Recorder.Eventf(claim, v1.EventTypeWarning, "FailedBinding", "volume %q already bound to a different claim.", pv.Name)
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	if err := unfit(claim, pv); pv.Spec.ClaimRef == nil && err != nil {
		c.Recorder.Eventf(claim, v1.EventTypeWarning, "VolumeMismatch", "Cannot bind to requested volume %q: %v", pv.Name, err)
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	return c.bind(ctx, pv, claim)
}

// checkBound checks that a bound claim still has its volume.
func (c *Controller) checkBound(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName == "" {
		return c.lost(ctx, claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
	}
	pv, err := c.volumes.Get(claim.Spec.VolumeName)
	switch {
	case apierrors.IsNotFound(err):
		return c.lost(ctx, claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case err != nil:
		return err
	case pv.Spec.ClaimRef == nil || volume.IsVolumeBoundToClaim(pv, claim):
		if class := ptr.Deref(claim.Spec.VolumeAttributesClassName, ""); class != ptr.Deref(pv.Spec.VolumeAttributesClassName, "") && provisioned(pv) {
			c.Recorder.Eventf(claim, v1.EventTypeWarning, "VolumeModifyFailed", "plugin %q has no volume attributes classes: %q is not applied", Provisioner, class)
		}
		if pv, err = c.grow(ctx, pv, claim); err != nil {
			return err
		}
		return c.bind(ctx, pv, claim)
	}
	return c.lost(ctx, claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

// grow resizes the provisioned volume of a bound claim that requests more: a directory has
// no size of its own.
func (c *Controller) grow(ctx context.Context, pv *v1.PersistentVolume, claim *v1.PersistentVolumeClaim) (*v1.PersistentVolume, error) {
	want, have := claim.Spec.Resources.Requests[v1.ResourceStorage], pv.Spec.Capacity[v1.ResourceStorage]
	if !provisioned(pv) || want.Cmp(have) <= 0 {
		return pv, nil
	}
	next := pv.DeepCopy()
	next.Spec.Capacity[v1.ResourceStorage] = want
	next, err := c.Client.CoreV1().PersistentVolumes().Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("resize volume: %w", err)
	}
	c.Recorder.Event(claim, v1.EventTypeNormal, "VolumeResizeSuccessful", "Resize volume succeeded")
	return next, nil
}

func (c *Controller) lost(ctx context.Context, claim *v1.PersistentVolumeClaim, reason, message string) error {
	if claim.Status.Phase == v1.ClaimLost {
		return nil
	}
	c.Recorder.Event(claim, v1.EventTypeWarning, reason, message)
	return c.claimPhase(ctx, claim, v1.ClaimLost, nil)
}

// bind writes both references and both phases, if they differ.
func (c *Controller) bind(ctx context.Context, pv *v1.PersistentVolume, claim *v1.PersistentVolumeClaim) error {
	next, dirty, err := volume.GetBindVolumeToClaim(pv, claim)
	if err != nil {
		return fmt.Errorf("bind volume %s: %w", pv.Name, err)
	}
	if dirty {
		if pv, err = c.Client.CoreV1().PersistentVolumes().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("bind volume: %w", err)
		}
	}
	if err := c.volumePhase(ctx, pv, v1.VolumeBound, ""); err != nil {
		return err
	}
	if claim, err = c.bindClaim(ctx, claim, pv.Name); err != nil {
		return err
	}
	return c.claimPhase(ctx, claim, v1.ClaimBound, pv)
}

func (c *Controller) bindClaim(ctx context.Context, claim *v1.PersistentVolumeClaim, pv string) (*v1.PersistentVolumeClaim, error) {
	if bound(claim) && claim.Spec.VolumeName == pv {
		return claim, nil
	}
	next := claim.DeepCopy()
	if next.Annotations == nil {
		next.Annotations = map[string]string{}
	}
	if next.Spec.VolumeName == "" {
		next.Annotations[volume.AnnBoundByController] = "yes"
	}
	next.Spec.VolumeName = pv
	next.Annotations[volume.AnnBindCompleted] = "yes"
	out, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("bind claim: %w", err)
	}
	return out, nil
}

// claimPhase writes the claim's status; pv is its volume if it is bound.
func (c *Controller) claimPhase(ctx context.Context, claim *v1.PersistentVolumeClaim, phase v1.PersistentVolumeClaimPhase, pv *v1.PersistentVolume) error {
	next := claim.DeepCopy()
	next.Status.Phase = phase
	switch {
	case pv != nil:
		next.Status.AccessModes = pv.Spec.AccessModes
		next.Status.Capacity = pv.Spec.Capacity
		next.Status.CurrentVolumeAttributesClassName = pv.Spec.VolumeAttributesClassName
	case phase == v1.ClaimPending:
		next.Status.AccessModes, next.Status.Capacity, next.Status.CurrentVolumeAttributesClassName = nil, nil, nil
	}
	if equality.Semantic.DeepEqual(claim.Status, next.Status) {
		return nil
	}
	_, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("claim status: %w", err)
	}
	return nil
}
