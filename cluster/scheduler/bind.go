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

// bind writes the Binding. If that fails the pod is unassumed.
func (s *Scheduler) bind(ctx context.Context, p *v1.Pod, to assignment) {
	err := s.Client.CoreV1().Pods(p.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: to.node},
	}, metav1.CreateOptions{})
	if err == nil {
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

// handleFailure requeues the pod, and writes condition and event why it has no node. If
// preemption helps, it deletes the victims.
func (s *Scheduler) handleFailure(ctx context.Context, p *v1.Pod, err error) {
	if ctx.Err() != nil {
		return
	}
	if apierrors.IsNotFound(err) {
		s.queue.forget(p.UID) // deleted meanwhile
		return
	}
	why, reason, message := explain(err)
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
