package deployment

import (
	"fmt"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	reasonPaused      = "DeploymentPaused"
	reasonResumed     = "DeploymentResumed"
	reasonAvailable   = "NewReplicaSetAvailable"
	reasonTimedOut    = "ProgressDeadlineExceeded"
	reasonProgressing = "ReplicaSetUpdated"
)

// progress sets the Progressing condition, if it differs.
func (r *round) progress(status v1.ConditionStatus, reason, message string) {
	setCondition(&r.d.Status, apps.DeploymentCondition{Type: apps.DeploymentProgressing, Status: status, Reason: reason, Message: message}, metav1.NewTime(r.now))
}

// pause sets Progressing to Unknown while a Deployment is paused; one that has timed out
// before stays so.
func (r *round) pause() {
	if !set(r.d.Spec.ProgressDeadlineSeconds) {
		return
	}
	has := condition(&r.d.Status, apps.DeploymentProgressing)
	switch {
	case has != nil && has.Reason == reasonTimedOut:
	case r.d.Spec.Paused:
		r.progress(v1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case has != nil && has.Reason == reasonPaused:
		r.progress(v1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	}
}

// rolled sets the status after a step of a rollout: the counts and the progress.
func (r *round) rolled() {
	next := r.counted()
	if set(r.d.Spec.ProgressDeadlineSeconds) {
		r.checkProgress(&next)
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

// checkProgress compares with the former status: the rollout is complete, progressing, or has
// timed out. One that was complete once does not time out.
func (r *round) checkProgress(next *apps.DeploymentStatus) {
	has := condition(&r.d.Status, apps.DeploymentProgressing)
	if has != nil && has.Reason == reasonAvailable && next.Replicas == next.UpdatedReplicas {
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
		c.Reason, c.Message = reasonAvailable, what+" has successfully progressed."
		setCondition(next, c, now)
	case progressed(&r.d.Status, next):
		c.Reason, c.Message = reasonProgressing, what+" is progressing."
		replaceCondition(next, c, now)
	case r.timedOut(condition(next, apps.DeploymentProgressing)):
		c.Status, c.Reason, c.Message = v1.ConditionFalse, reasonTimedOut, what+" has timed out progressing."
		setCondition(next, c, now)
	}
}

// progressed reports whether there are more new pods, fewer old ones, or more ready ones.
func progressed(was, is *apps.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas ||
		is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

func (r *round) timedOut(c *apps.DeploymentCondition) bool {
	switch {
	case c == nil || c.Reason == reasonAvailable:
		return false
	case c.Reason == reasonTimedOut:
		return true
	}
	return c.LastUpdateTime.Add(r.progressDeadline()).Before(r.now)
}

func (r *round) progressDeadline() time.Duration {
	return time.Duration(*r.d.Spec.ProgressDeadlineSeconds) * time.Second
}

// deadline returns when to check whether the rollout has timed out.
func (r *round) deadline(st *apps.DeploymentStatus) time.Duration {
	c := condition(st, apps.DeploymentProgressing)
	if !set(r.d.Spec.ProgressDeadlineSeconds) || c == nil || complete(r.d, st) || c.Reason == reasonTimedOut || c.Reason == reasonAvailable {
		return 0
	}
	return max(c.LastUpdateTime.Add(r.progressDeadline()).Sub(r.now), 0) + time.Second
}

// failure returns the ReplicaFailure condition of a set, the newest first.
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

// createFailed sets the condition that the set of the new template could not be created.
func createFailed(d *apps.Deployment, message string, now time.Time) {
	if set(d.Spec.ProgressDeadlineSeconds) {
		setCondition(&d.Status, apps.DeploymentCondition{
			Type: apps.DeploymentProgressing, Status: v1.ConditionFalse, Reason: "ReplicaSetCreateError", Message: message,
		}, metav1.NewTime(now))
	}
}
