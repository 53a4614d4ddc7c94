package kubelet

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podstatus"
)

// podStep is one step of a worker: what its stages hand over to each other.
type podStep struct {
	pod     *v1.Pod // with its newest status and, from allocate on, its allocated resources
	removed bool    // from the API server
	stale   bool    // the containers must be listed

	stage string        // that runs, for the log
	again time.Duration // when the next step is due at the latest, 0 for at no time
	done  bool          // no further stage runs
	gone  bool          // nothing is left of the pod
}

// stages are the stages of a step. They run in this order, until one is done or fails.
var stages = []struct {
	name string
	run  func(*worker, context.Context, *podStep) error
}{
	{"observe", (*worker).refresh},          // what the runtime has of the pod
	{"terminate", (*worker).terminateStage}, // a pod that is deleted: containers, network, volumes, object
	{"allocate", (*worker).allocate},        // the size that the pod has on the node
	{"admit", (*worker).admit},              // fails a pod that the node must not run
	{"evict", (*worker).evictStage},         // fails a pod that the node evicts
	{"deadline", (*worker).checkDeadline},   // fails a pod after its activeDeadlineSeconds
	{"retire", (*worker).retireStage},       // stops what a finished pod does not need
	{"sync", (*worker).sync},                // plans and runs the pod
}

// step runs the stages.
func (w *worker) step(ctx context.Context, s *podStep) error {
	s.pod = w.withStatus(s.pod)
	w.observed.Pod = s.pod
	for _, stage := range stages {
		s.stage = stage.name
		if err := stage.run(w, ctx, s); err != nil || s.done {
			return err
		}
	}
	return nil
}

func (w *worker) refresh(ctx context.Context, s *podStep) error {
	if !s.stale {
		return nil
	}
	return w.observe(ctx)
}

func (w *worker) terminateStage(ctx context.Context, s *podStep) (err error) {
	if !s.removed && s.pod.DeletionTimestamp == nil {
		return nil
	}
	w.k.allocations.Cancel(w.podUID())
	s.done = true
	s.gone, err = w.terminate(ctx, s.pod, s.removed)
	return err
}

func (w *worker) evictStage(_ context.Context, s *podStep) error {
	w.rejectUnderPressure(s.pod)
	w.applyEviction(s.pod)
	return nil
}

func (w *worker) retireStage(ctx context.Context, s *podStep) error {
	if !w.finished && !podfacts.Terminal(s.pod) {
		return nil
	}
	s.done, s.again = true, 0
	return w.retire(ctx, s.pod)
}

const (
	deadlineReason  = "DeadlineExceeded"
	deadlineMessage = "Pod was active on the node longer than the specified deadline"
)

// fail makes the pod terminate: its containers are stopped, and its phase becomes Failed.
// Only the worker's own goroutine calls it.
func (w *worker) fail(reason, message string) {
	if w.observed.Failed == nil {
		w.observed.Failed, w.finished = &podstatus.Failure{Reason: reason, Message: message}, true
	}
}

// checkDeadline fails a pod that has been active for longer than its activeDeadlineSeconds.
func (w *worker) checkDeadline(_ context.Context, s *podStep) error {
	pod := s.pod
	if pod.Spec.ActiveDeadlineSeconds == nil || pod.Status.StartTime == nil || w.finished {
		return nil
	}
	end := pod.Status.StartTime.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds) * time.Second)
	if left := time.Until(end); left > 0 {
		s.again = soonest(s.again, left)
		return nil
	}
	w.podEvent(v1.EventTypeNormal, deadlineReason, deadlineMessage)
	w.fail(deadlineReason, deadlineMessage)
	return nil
}
