package statefulset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/podcontrol"
)

// apply performs the steps: those of an ordered set in order, those of a parallel one concurrently.
func (c *Controller) apply(ctx context.Context, s *snapshot) error {
	steps := s.plan()
	if s.ordered() {
		for _, st := range steps {
			if err := c.take(ctx, s, st); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := podcontrol.SlowStart(len(steps), func(i int) error { return c.take(ctx, s, steps[i]) })
	return err
}

func (c *Controller) take(ctx context.Context, s *snapshot, st step) error {
	switch st.do {
	case create:
		return c.create(ctx, s, st.pod)
	case claims:
		return c.createClaims(ctx, s, st.pod)
	case own:
		return c.setOwners(ctx, s, st.pod)
	case relabel:
		return c.relabel(ctx, s, st.pod)
	case recreate:
		kind, reason, what := v1.EventTypeWarning, "RecreatingFailedPod", "failed"
		if st.pod.Status.Phase == v1.PodSucceeded {
			kind, reason, what = v1.EventTypeNormal, "RecreatingTerminatedPod", "terminated"
		}
		c.Recorder.Eventf(s.set, kind, reason, "StatefulSet %s/%s is recreating %s Pod %s", s.set.Namespace, s.set.Name, what, st.pod.Name)
	}
	return c.delete(ctx, s, st.pod)
}

// event records the event of a write, as upstream: "create Pod web-0 in StatefulSet web
// successful".
func (c *Controller) event(ctx context.Context, s *snapshot, verb string, p *v1.Pod, err error) {
	if ctx.Err() != nil {
		return
	}
	title := strings.ToUpper(verb[:1]) + verb[1:]
	if err != nil {
		c.Recorder.Eventf(s.set, v1.EventTypeWarning, "Failed"+title, "%s Pod %s in StatefulSet %s failed error: %s", verb, p.Name, s.set.Name, err)
		return
	}
	c.Recorder.Eventf(s.set, v1.EventTypeNormal, "Successful"+title, "%s Pod %s in StatefulSet %s successful", verb, p.Name, s.set.Name)
}

// create creates the claims of a pod, then the pod. A pod of the name that exists already
// is one that the cache does not show yet, or is not the set's.
func (c *Controller) create(ctx context.Context, s *snapshot, p *v1.Pod) error {
	if err := c.createClaims(ctx, s, p); err != nil {
		c.event(ctx, s, "create", p, err)
		return err
	}
	_, err := c.Client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	switch {
	case err == nil:
		c.event(ctx, s, "create", p, nil)
		return nil
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return nil
	case apierrors.IsAlreadyExists(err):
		is, readErr := c.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if readErr == nil && metav1.IsControlledBy(is, s.set) || apierrors.IsNotFound(readErr) {
			return nil // its event enqueues the set
		}
	}
	c.event(ctx, s, "create", p, err)
	return fmt.Errorf("create pod %s: %w", p.Name, err)
}

func (c *Controller) createClaims(ctx context.Context, s *snapshot, p *v1.Pod) error {
	var errs []error
	for _, claim := range claimsFor(s.set, ordinalOf(s.set, p)) {
		is := s.claim(claim.Name)
		if is != nil && is.DeletionTimestamp != nil {
			errs = append(errs, fmt.Errorf("pvc %s is being deleted", claim.Name))
		}
		if is != nil {
			c.checkController(s, is, p)
			continue
		}
		if refs, set := desiredOwners(claim, s.set, p, true); set {
			claim.OwnerReferences = refs
		}
		_, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{})
		switch {
		case apierrors.IsAlreadyExists(err):
		case err != nil:
			c.Recorder.Eventf(s.set, v1.EventTypeWarning, "FailedCreate",
				"create Claim %s for Pod %s in StatefulSet %s failed error: %s", claim.Name, p.Name, s.set.Name, err)
			errs = append(errs, fmt.Errorf("create claim %s: %w", claim.Name, err))
		default:
			c.Recorder.Eventf(s.set, v1.EventTypeNormal, "SuccessfulCreate",
				"create Claim %s Pod %s in StatefulSet %s success", claim.Name, p.Name, s.set.Name)
		}
	}
	return errors.Join(errs...)
}

// checkController records that a claim has another controller. The text is upstream's.
func (c *Controller) checkController(s *snapshot, claim *v1.PersistentVolumeClaim, p *v1.Pod) {
	if conflicting(claim, s.set, p) {
		c.Recorder.Eventf(s.set, v1.EventTypeWarning, "ConflictingController",
			"PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim", claim.Name)
	}
}

func (c *Controller) setOwners(ctx context.Context, s *snapshot, p *v1.Pod) error {
	var errs []error
	for _, t := range claimsFor(s.set, ordinalOf(s.set, p)) {
		is := s.claim(t.Name)
		if is == nil {
			continue
		}
		refs, change := desiredOwners(is, s.set, p, s.inRange(p))
		if !change {
			continue
		}
		c.checkController(s, is, p)
		next := is.DeepCopy()
		next.OwnerReferences = refs
		_, err := c.Client.CoreV1().PersistentVolumeClaims(next.Namespace).Update(ctx, next, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("owners of claim %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Controller) relabel(ctx context.Context, s *snapshot, p *v1.Pod) error {
	identity := podFor(s.set, s.update.template, s.update.name, ordinalOf(s.set, p)).Labels
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID, "labels": map[string]string{
		apps.StatefulSetPodNameLabel: p.Name,
		apps.PodIndexLabel:           identity[apps.PodIndexLabel],
	}}})
	if err != nil {
		return err
	}
	_, err = c.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	c.event(ctx, s, "update", p, err)
	return err
}

func (c *Controller) delete(ctx context.Context, s *snapshot, p *v1.Pod) error {
	err := c.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it was deleted or replaced; the event enqueues the set
	}
	c.event(ctx, s, "delete", p, err)
	return err
}
