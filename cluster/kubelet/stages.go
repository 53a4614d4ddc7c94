package kubelet

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
)

// stages are the stages of a step. They run in this order, until one is done or fails.
var stages = []struct {
	name string
	run  func(*worker, context.Context, *podStep) error
}{
	{"observe", (*worker).refresh},          // what the runtime has of the pod
	{"terminate", (*worker).terminateStage}, // a pod that is deleted: containers, network, volumes, object
	{"allocate", (*worker).allocate},        // the size that the pod has on the node
	{"secure", (*worker).secure},            // fails a pod that asks for more than the node gives
	{"admit", (*worker).admit},              // fails a pod that the node must not run
	{"evict", (*worker).evictStage},         // fails a pod that the node evicts
	{"deadline", (*worker).checkDeadline},   // fails a pod after its activeDeadlineSeconds
	{"retire", (*worker).retireStage},       // stops what a finished pod does not need
	{"repair", (*worker).repair},            // makes again what is missing of a pod that runs
	{"sync", (*worker).sync},                // plans and runs the pod
}

// run runs steps until nothing is left of the pod, or ctx ends.
func (w *worker) run(ctx context.Context) {
	reporting, stop := context.WithCancel(ctx)
	defer stop()
	go w.reporter.run(reporting)
	for ctx.Err() == nil {
		stepCtx, cancel := context.WithCancel(ctx)
		step := w.take(cancel)
		start := time.Now()
		err := w.step(stepCtx, step)
		workerDuration.WithLabelValues("sync").Observe(time.Since(start).Seconds())
		cancelled := stepCtx.Err() != nil
		cancel()
		switch {
		case step.gone:
			return
		case err == nil:
			w.retry = 0
		case cancelled:
			w.markStale()
		default:
			w.retry = min(max(2*w.retry, retryFirst), retryMax)
			w.log.Warn("pod step failed", "stage", step.stage, "err", err, "retry", w.retry)
			w.markStale()
			w.backOff(ctx, step.pod)
			continue
		}
		w.sleep(ctx, step.again, w.wake)
	}
}

// backOff waits after a step that has failed, and repairs the pod meanwhile: a deletion ends both.
func (w *worker) backOff(ctx context.Context, pod *v1.Pod) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.cancelledBy(cancel)
	for left := w.retry; left > 0 && w.sleep(ctx, min(left, repairPeriod), nil); left -= repairPeriod {
		w.repairMeanwhile(ctx, pod)
	}
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
	w.PodEvent(v1.EventTypeNormal, deadlineReason, deadlineMessage)
	w.fail(deadlineReason, deadlineMessage)
	return nil
}
