package deployment

import (
	"fmt"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	paused      = "DeploymentPaused"
	resumed     = "DeploymentResumed"
	arrived     = "NewReplicaSetAvailable"
	timedOut    = "ProgressDeadlineExceeded"
	progressing = "ReplicaSetUpdated"
)

// progress sets the Progressing condition, where that says something new.
func (r *round) progress(status v1.ConditionStatus, reason, message string) {
	setCondition(&r.d.Status, apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: status, Reason: reason, Message: message}, metav1.NewTime(r.now))
}

// pause tells that progress is not measured while a Deployment is paused; what has
// timed out before stays so.
func (r *round) pause() {
	if !set(r.d.Spec.ProgressDeadlineSeconds) {
		return
	}
	has := condition(&r.d.Status, apps.DeploymentProgressing)
	switch {
	case has != nil && has.Reason == timedOut:
	case r.d.Spec.Paused:
		r.progress(v1.ConditionUnknown, paused, "Deployment is paused")
	case has != nil && has.Reason == paused:
		r.progress(v1.ConditionUnknown, resumed, "Deployment is resumed")
	}
}

// rolled is the status after a step of a roll-out: the counts, and how it gets on.
func (r *round) rolled() {
	next := r.counted()
	if set(r.d.Spec.ProgressDeadlineSeconds) {
		r.judge(&next)
	} else {
		removeCondition(&next, apps.DeploymentProgressing)
	}
	if f := r.failure(); f != nil {
		setCondition(&next, *f, metav1.NewTime(r.now))
	} else {
		removeCondition(&next, apps.DeploymentReplicaFailure)
	}
	r.after = r.deadline(&next)
	r.d.Status = next
}

// judge compares with the status of before: the roll-out is complete, or gets on, or
// has been standing still for too long. One that was complete once is not judged again.
func (r *round) judge(next *apps.DeploymentStatus) {
	has := condition(&r.d.Status, apps.DeploymentProgressing)
	if has != nil && has.Reason == arrived && next.Replicas == next.UpdatedReplicas {
		return
	}
	what := fmt.Sprintf("Deployment %q", r.d.Name)
	if r.current != nil {
		what = fmt.Sprintf("ReplicaSet %q", r.current.Name)
	}
	now := metav1.NewTime(r.now)
	c := apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: v1.ConditionTrue}
	switch {
	case complete(r.d, next):
		c.Reason, c.Message = arrived, what+" has successfully progressed."
		setCondition(next, c, now)
	case moved(&r.d.Status, next):
		c.Reason, c.Message = progressing, what+" is progressing."
		replaceCondition(next, c, now)
	case r.late(condition(next, apps.DeploymentProgressing)):
		c.Status, c.Reason, c.Message = v1.ConditionFalse, timedOut, what+" has timed out progressing."
		setCondition(next, c, now)
	}
}

// moved says whether there are more new pods, fewer old ones, or more that are ready.
func moved(was, is *apps.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas ||
		is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

func (r *round) late(c *apps.DeploymentCondition) bool {
	switch {
	case c == nil || c.Reason == arrived:
		return false
	case c.Reason == timedOut:
		return true
	}
	return c.LastUpdateTime.Add(r.patience()).Before(r.now)
}

func (r *round) patience() time.Duration {
	return time.Duration(*r.d.Spec.ProgressDeadlineSeconds) * time.Second
}

// deadline is when to look whether the roll-out stands still.
func (r *round) deadline(st *apps.DeploymentStatus) time.Duration {
	c := condition(st, apps.DeploymentProgressing)
	if !set(r.d.Spec.ProgressDeadlineSeconds) || c == nil || complete(r.d, st) || c.Reason == timedOut || c.Reason == arrived {
		return 0
	}
	return max(c.LastUpdateTime.Add(r.patience()).Sub(r.now), 0) + time.Second
}

// failure is what a set says it cannot do; the new one is asked first.
func (r *round) failure() *apps.DeploymentCondition {
	sets := r.all()
	for i := len(sets) - 1; i >= 0; i-- {
		for _, c := range sets[i].Status.Conditions {
			if c.Type == apps.ReplicaSetReplicaFailure {
				return &apps.DeploymentCondition{
					Type: apps.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
					LastTransitionTime: c.LastTransitionTime, LastUpdateTime: c.LastTransitionTime,
				}
			}
		}
	}
	return nil
}

// createFailed tells that the set of the new template could not be made.
func createFailed(d *apps.Deployment, message string, now time.Time) {
	if set(d.Spec.ProgressDeadlineSeconds) {
		setCondition(&d.Status, apps.DeploymentCondition{
			Type: apps.DeploymentProgressing, Status: v1.ConditionFalse, Reason: "ReplicaSetCreateError", Message: message,
		}, metav1.NewTime(now))
	}
}
