package scheduler

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// carryOut ends the victims of a plan, each within its grace. The pod for which they
// go is tried again when they are gone; until then its place is kept (nominated).
func (s *Scheduler) carryOut(ctx context.Context, p *v1.Pod, plan *plan) {
	for _, other := range plan.cleared {
		if err := s.clearNomination(ctx, other); err != nil {
			s.Log.Warn("could not take back the place kept for a pod", "pod", other.Namespace+"/"+other.Name, "error", err)
		}
	}
	for _, i := range plan.victims {
		if err := s.end(ctx, i.pod, p, plan.node.name); err != nil {
			s.Log.Warn("could not preempt", "pod", i.pod.Namespace+"/"+i.pod.Name, "for", p.Namespace+"/"+p.Name, "error", err)
		}
	}
}

// clearNomination lets a pod of less importance look elsewhere.
func (s *Scheduler) clearNomination(ctx context.Context, p *v1.Pod) error {
	s.mu.Lock()
	s.cluster.unnominate(p.UID)
	s.mu.Unlock()
	s.queue.retryNow(p.UID)
	return ignoreGone(s.patchStatus(ctx, p, map[string]any{"nominatedNodeName": nil}))
}

// end deletes a victim, after its status says why.
func (s *Scheduler) end(ctx context.Context, victim, pod *v1.Pod, node string) error {
	if victim.DeletionTimestamp != nil {
		return nil
	}
	err := s.patchStatus(ctx, victim, map[string]any{"conditions": []v1.PodCondition{{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonPreemptionByScheduler,
		Message:            s.Name + ": preempting to accommodate a higher priority pod",
		LastTransitionTime: metav1.Now(), ObservedGeneration: victim.Generation,
	}}})
	if err != nil {
		return ignoreGone(fmt.Errorf("write condition: %w", err))
	}
	err = s.Client.CoreV1().Pods(victim.Namespace).Delete(ctx, victim.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &victim.UID}})
	if err != nil {
		return ignoreGone(fmt.Errorf("delete: %w", err))
	}
	s.Recorder.Eventf(victim, v1.EventTypeNormal, "Preempted", "Preempted by pod %v on node %v", pod.UID, node)
	return nil
}

func ignoreGone(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonNotFound {
		return nil
	}
	return err
}
