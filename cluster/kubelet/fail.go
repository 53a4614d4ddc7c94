package kubelet

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podstatus"
)

const (
	deadlineReason  = "DeadlineExceeded"
	deadlineMessage = "Pod was active on the node longer than the specified deadline"
)

// fail has the pod end: its containers are stopped and its phase becomes Failed, with
// the reason. Only the worker's own goroutine calls it.
func (w *worker) fail(reason, message string) {
	if w.observed.Failed == nil {
		w.observed.Failed, w.finished = &podstatus.Failure{Reason: reason, Message: message}, true
	}
}

// deadline is the time that the pod may still be active, 0 if there is no end to it. A
// pod whose time is over fails.
func (w *worker) deadline(pod *v1.Pod, now time.Time) time.Duration {
	if pod.Spec.ActiveDeadlineSeconds == nil || pod.Status.StartTime == nil || w.finished {
		return 0
	}
	end := pod.Status.StartTime.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds) * time.Second)
	if left := end.Sub(now); left > 0 {
		return left
	}
	w.podEvent(v1.EventTypeNormal, deadlineReason, deadlineMessage)
	w.fail(deadlineReason, deadlineMessage)
	return 0
}

// refuse ends a pod that the node must not run, before anything of it is started.
func (w *worker) refuse(pod *v1.Pod) {
	if w.finished || pod.Status.StartTime != nil || podfacts.Terminal(pod) {
		return
	}
	reason, message := "SysctlForbidden", refusedSysctl(pod)
	if message == "" && w.k.portsTaken(pod) {
		reason, message = "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
	}
	if message == "" {
		reason, message = w.k.misfit(pod)
	}
	if message != "" {
		w.podEvent(v1.EventTypeWarning, reason, message)
		w.fail(reason, "Pod was rejected: "+message)
	}
}
