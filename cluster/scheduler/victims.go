package scheduler

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// preemptVictims deletes the victims, each with its grace period. The preempting pod is retried
// when they are deleted; until then the node is nominated for it.
func (s *Scheduler) preemptVictims(ctx context.Context, p *v1.Pod, plan *preemption) {
	for _, other := range plan.cleared {
		if err := s.clearNomination(ctx, other); err != nil {
			s.Log.Warn("clear the nominated node of a pod", "pod", other.Namespace+"/"+other.Name, "err", err)
		}
	}
	for _, i := range plan.victims {
		if err := s.preemptPod(ctx, i.pod, p, plan.node.name); err != nil {
			s.Log.Warn("preempt", "pod", i.pod.Namespace+"/"+i.pod.Name, "for", p.Namespace+"/"+p.Name, "err", err)
		}
	}
}

// clearNomination removes the nominated node of a lower-priority pod.
func (s *Scheduler) clearNomination(ctx context.Context, p *v1.Pod) error {
	s.mu.Lock()
	s.cluster.unnominate(p.UID)
	s.mu.Unlock()
	s.queue.activate(p.UID)
	return ignoreNotFound(s.patchStatus(ctx, p, map[string]any{"nominatedNodeName": nil}))
}

// preemptPod sets the victim's DisruptionTarget condition, and deletes it.
func (s *Scheduler) preemptPod(ctx context.Context, victim, pod *v1.Pod, node string) error {
	if victim.DeletionTimestamp != nil {
		return nil
	}
	err := s.patchStatus(ctx, victim, map[string]any{"conditions": []v1.PodCondition{{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonPreemptionByScheduler,
		Message:            s.Name + ": preempting to accommodate a higher priority pod",
		LastTransitionTime: metav1.Now(), ObservedGeneration: victim.Generation,
	}}})
	if err != nil {
		return ignoreNotFound(fmt.Errorf("write condition: %w", err))
	}
	err = s.Client.CoreV1().Pods(victim.Namespace).Delete(ctx, victim.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &victim.UID}})
	if err != nil {
		return ignoreNotFound(fmt.Errorf("delete: %w", err))
	}
	s.Recorder.Eventf(victim, v1.EventTypeNormal, "Preempted", "Preempted by pod %v on node %v", pod.UID, node)
	return nil
}

func ignoreNotFound(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonNotFound {
		return nil
	}
	return err
}
