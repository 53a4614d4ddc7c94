package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/component-helpers/storage/volume"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bind writes the Binding. If that fails the pod is unassumed.
func (s *Scheduler) bind(ctx context.Context, p *v1.Pod, to assignment) {
	this := s.queue.attempt(p.UID) // the watch may remove the bound pod from the queue first
	err := s.Client.CoreV1().Pods(p.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: to.node},
	}, metav1.CreateOptions{})
	if err == nil {
		s.attempted(this, resultScheduled)
		s.queue.forget(p.UID)
		s.Recorder.Eventf(p, v1.EventTypeNormal, "Scheduled", "Successfully assigned %s/%s to %s", p.Namespace, p.Name, to.node)
		return
	}
	s.unassume(ctx, p, to, fmt.Errorf("bind to %s: %w", to.node, err))
}

// unassume removes the pod from its node after a failed binding.
func (s *Scheduler) unassume(ctx context.Context, p *v1.Pod, to assignment, err error) {
	s.mu.Lock()
	s.reserve(to.volumes, false)
	if at := s.cluster.pods[p.UID]; at != nil && at.assumed {
		s.cluster.removePod(p.UID)
	}
	s.mu.Unlock()
	s.queue.changed(causeResource | causePods)
	s.handleFailure(ctx, p, err)
}

const (
	// volumesTimeout is how long volumes may take before the pod is scheduled again.
	volumesTimeout = 10 * time.Minute
	// volumesPoll is how often the caches are checked for bound volumes.
	volumesPoll = 50 * time.Millisecond
)

// reserve keeps selected volumes from being selected again before the cache shows their
// claims. The caller holds the lock.
func (s *Scheduler) reserve(choices []volumeBinding, keep bool) {
	for _, c := range choices {
		switch {
		case c.pv == nil:
		case keep:
			s.reserved[c.pv.Name] = true
		default:
			delete(s.reserved, c.pv.Name)
		}
	}
}

// bindVolumes binds the pod's delayed claims, or requests their provisioning on the node, and
// waits until they are bound.
func (s *Scheduler) bindVolumes(ctx context.Context, p *v1.Pod, to assignment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, volumesTimeout, fmt.Errorf("binding volumes: not done within %v", volumesTimeout))
	defer cancel()
	for _, c := range to.volumes {
		if err := s.startVolume(ctx, c, to.node); err != nil {
			return fmt.Errorf("binding volumes: %w", err)
		}
	}
	err := wait.PollUntilContextCancel(ctx, volumesPoll, true, func(context.Context) (bool, error) {
		if live, err := s.pods.Pods(p.Namespace).Get(p.Name); apierrors.IsNotFound(err) || err == nil && (live.UID != p.UID || live.DeletionTimestamp != nil) {
			return false, apierrors.NewNotFound(v1.Resource("pods"), p.Name)
		}
		return s.volumesBound(to)
	})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve(to.volumes, false)
	return nil
}

// startVolume writes the volume or the selected node; the volume controller or a provisioner
// binds the claim.
func (s *Scheduler) startVolume(ctx context.Context, c volumeBinding, node string) error {
	if c.pv != nil {
		pv, dirty, err := volume.GetBindVolumeToClaim(c.pv, c.claim)
		if err != nil || !dirty {
			return err
		}
		_, err = s.Client.CoreV1().PersistentVolumes().Update(ctx, pv, metav1.UpdateOptions{})
		return err
	}
	if c.claim.Annotations[volume.AnnSelectedNode] == node {
		return nil
	}
	claim := c.claim.DeepCopy()
	metav1.SetMetaDataAnnotation(&claim.ObjectMeta, volume.AnnSelectedNode, node)
	_, err := s.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, claim, metav1.UpdateOptions{})
	return err
}

// volumesBound reports whether all claims are bound. An error means that they will not be
// bound here: a provisioner that fails removes the selected node.
func (s *Scheduler) volumesBound(to assignment) (bool, error) {
	all := true
	for _, c := range to.volumes {
		claim, err := s.claims.claim(c.claim.Namespace, c.claim.Name)
		switch {
		case err != nil:
			return false, err
		case claim.UID != c.claim.UID:
			return false, fmt.Errorf("claim %q was recreated", claim.Name)
		case claim.Spec.VolumeName != "" && claim.Annotations[volume.AnnBindCompleted] != "":
			continue
		case c.pv == nil && claim.ResourceVersion != c.claim.ResourceVersion && claim.Annotations[volume.AnnSelectedNode] != to.node:
			return false, fmt.Errorf("provisioning failed for PVC %q", claim.Name)
		}
		all = false
	}
	return all, nil
}
