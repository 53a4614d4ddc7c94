package persistentvolume

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
)

// reconcileVolume performs the next step for one volume.
func (c *Controller) reconcileVolume(ctx context.Context, pv *v1.PersistentVolume) error {
	if done, err := c.protectVolume(ctx, pv); done || err != nil {
		return err
	}
	ref := pv.Spec.ClaimRef
	if ref == nil && pv.DeletionTimestamp != nil {
		return c.dropFinalizer(ctx, pv)
	}
	if ref == nil || ref.UID == "" {
		return c.volumePhase(ctx, pv, v1.VolumeAvailable, "")
	}
	claim, err := c.claimOf(ctx, ref)
	switch {
	case err != nil:
		return err
	case claim == nil:
		return c.release(ctx, pv)
	case claim.Spec.VolumeName == pv.Name:
		return c.volumePhase(ctx, pv, v1.VolumeBound, "")
	case claim.Spec.VolumeName == "":
		c.Add(item{claim.Namespace, claim.Name})
		return nil
	}
	// The claim is bound to another volume: remove this side.
	return c.unbind(ctx, pv)
}

// claimOf returns the claim that a volume refers to, by uid, nil if it was deleted. It reads
// from the API server too: a volume released because of a stale cache is data lost.
func (c *Controller) claimOf(ctx context.Context, ref *v1.ObjectReference) (*v1.PersistentVolumeClaim, error) {
	claim, err := c.claims.PersistentVolumeClaims(ref.Namespace).Get(ref.Name)
	if err == nil && claim.UID == ref.UID {
		return claim, nil
	}
	claim, err = c.Client.CoreV1().PersistentVolumeClaims(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && claim.UID != ref.UID {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read claim: %w", err)
	}
	return claim, nil
}

// release applies the reclaim policy to a volume whose claim was deleted.
func (c *Controller) release(ctx context.Context, pv *v1.PersistentVolume) error {
	var reason, message string
	if provisioned(pv) && pv.Spec.PersistentVolumeReclaimPolicy == v1.PersistentVolumeReclaimDelete {
		c.reclaims.Add(pv.Name)
		if pv.Status.Phase == v1.VolumeFailed {
			return nil // being retried
		}
		return c.volumePhase(ctx, pv, v1.VolumeReleased, "")
	}
	if pv.DeletionTimestamp != nil {
		if err := c.dropFinalizer(ctx, pv); err != nil {
			return err
		}
	}
	switch pv.Spec.PersistentVolumeReclaimPolicy {
	case v1.PersistentVolumeReclaimDelete:
		reason = "VolumeFailedDelete"
		message = "the data of this volume cannot be deleted from here: delete it where it is, then delete the volume"
	case v1.PersistentVolumeReclaimRecycle:
		reason = "VolumeFailedRecycle"
		message = "the reclaim policy Recycle is deprecated and not supported: empty the volume, then delete it and create it again"
	default:
		return c.volumePhase(ctx, pv, v1.VolumeReleased, "")
	}
	if pv.Status.Phase != v1.VolumeFailed {
		c.Recorder.Event(pv, v1.EventTypeWarning, reason, message)
	}
	return c.volumePhase(ctx, pv, v1.VolumeFailed, message)
}

// unbind removes the reference to a claim; one that a user wrote stays without its uid, for
// the next claim of that name.
func (c *Controller) unbind(ctx context.Context, pv *v1.PersistentVolume) error {
	next := pv.DeepCopy()
	if _, ours := next.Annotations[volume.AnnBoundByController]; ours {
		next.Spec.ClaimRef = nil
		delete(next.Annotations, volume.AnnBoundByController)
	} else {
		next.Spec.ClaimRef.UID = ""
	}
	next, err := c.Client.CoreV1().PersistentVolumes().Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("unbind volume: %w", err)
	}
	return c.volumePhase(ctx, next, v1.VolumeAvailable, "")
}

func (c *Controller) volumePhase(ctx context.Context, pv *v1.PersistentVolume, phase v1.PersistentVolumePhase, message string) error {
	if pv.Status.Phase == phase && pv.Status.Message == message {
		return nil
	}
	next := pv.DeepCopy()
	if pv.Status.Phase != phase {
		now := metav1.Now()
		next.Status.LastPhaseTransitionTime = &now
	}
	next.Status.Phase, next.Status.Message = phase, message
	if _, err := c.Client.CoreV1().PersistentVolumes().UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("volume status: %w", err)
	}
	return nil
}
