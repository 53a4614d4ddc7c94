package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// preemptVictims deletes the victims, each with its grace period. The preempting pod is retried
// when they are deleted; until then the node is nominated for it.
func (s *Scheduler) preemptVictims(ctx context.Context, p *v1.Pod, plan *preemption) {
	preemptions.Inc()
	victims.Observe(float64(len(plan.victims)))
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
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// handleFailure requeues the pod, and writes condition and event why it has no node. If
// preemption helps, it deletes the victims.
func (s *Scheduler) handleFailure(ctx context.Context, p *v1.Pod, err error) {
	if ctx.Err() != nil {
		return
	}
	if isMissing(p, err) {
		s.queue.forget(p.UID) // deleted meanwhile
		return
	}
	why, reason, message := explain(err)
	if why == 0 {
		s.attempted(s.queue.attempt(p.UID), resultError)
	} else {
		s.attempted(s.queue.attempt(p.UID), resultUnschedulable)
	}
	s.queue.failed(p.UID, why)
	var m *fitError
	if apierrors.IsConflict(err) || errors.As(err, &m) && m.upfront == unclassed {
		return // another client wrote, or will; the watch delivers it
	}
	if why == 0 {
		s.Log.Warn("scheduling failed, will retry", "pod", p.Namespace+"/"+p.Name, "err", err)
	}
	s.Recorder.Event(p, v1.EventTypeWarning, "FailedScheduling", message)
	s.mu.Lock()
	nominated := ""
	if n := s.cluster.nominated[p.UID]; n != nil {
		nominated = n.name
	}
	s.mu.Unlock()
	if err := s.writeCondition(ctx, p, reason, message, nominated); err != nil && !apierrors.IsNotFound(err) {
		s.Log.Warn("write condition", "pod", p.Namespace+"/"+p.Name, "err", err)
	}
	if m != nil && m.candidate != nil {
		s.preemptVictims(ctx, p, m.candidate)
	}
}

// isMissing reports whether the error is that the pod does not exist, not another object that its binding needs.
func isMissing(p *v1.Pod, err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	of := status.Status().Details
	return of != nil && of.Kind == "pods" && of.Name == p.Name
}

func explain(err error) (why cause, reason, message string) {
	var m *fitError
	switch {
	case errors.As(err, &m):
		return m.cause, v1.PodReasonUnschedulable, m.message()
	case errors.Is(err, errNoNodes):
		return causeNode, v1.PodReasonUnschedulable, err.Error()
	}
	return 0, v1.PodReasonSchedulerError, err.Error()
}

// writeCondition sets PodScheduled to False and the nominated node, if they differ.
func (s *Scheduler) writeCondition(ctx context.Context, p *v1.Pod, reason, message, nominated string) error {
	since := metav1.NewTime(time.Now())
	for i := range p.Status.Conditions {
		c := &p.Status.Conditions[i]
		if c.Type != v1.PodScheduled || c.Status != v1.ConditionFalse {
			continue
		}
		if c.Reason == reason && c.Message == message && c.ObservedGeneration == p.Generation && p.Status.NominatedNodeName == nominated {
			return nil
		}
		since = c.LastTransitionTime
	}
	status := map[string]any{"conditions": []v1.PodCondition{{
		Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: since,
		ObservedGeneration: p.Generation,
	}}}
	if p.Status.NominatedNodeName != nominated {
		status["nominatedNodeName"] = nominated
	}
	return s.patchStatus(ctx, p, status)
}

func (s *Scheduler) patchStatus(ctx context.Context, p *v1.Pod, status map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": status})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	_, err = s.Client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
