package replication

import (
	"errors"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api/podfacts"
)

// nextStatus counts the set's active and terminating pods. writeErr is the error of this
// reconcile's creates or deletes; missing is how many pods were missing (positive) or too many.
func nextStatus(s *Set, pods []*v1.Pod, terminating, missing int, writeErr error, now time.Time) apps.ReplicaSetStatus {
	st := apps.ReplicaSetStatus{Replicas: int32(len(pods)), ObservedGeneration: s.Generation}
	if s.CountsTerminating {
		n := int32(terminating)
		st.TerminatingReplicas = &n
	}
	template := labels.Nothing()
	if s.Template != nil {
		template = labels.SelectorFromSet(s.Template.Labels)
	}
	for _, p := range pods {
		if template.Matches(labels.Set(p.Labels)) {
			st.FullyLabeledReplicas++
		}
		if podfacts.Ready(p) {
			st.ReadyReplicas++
		}
		if podfacts.Available(p, s.Spec.MinReadySeconds, now) {
			st.AvailableReplicas++
		}
	}
	isFailure := func(c apps.ReplicaSetCondition) bool { return c.Type == apps.ReplicaSetReplicaFailure }
	st.Conditions = slices.DeleteFunc(slices.Clone(s.Status.Conditions), isFailure)
	if writeErr == nil {
		return st
	}
	failure := apps.ReplicaSetCondition{
		Type: apps.ReplicaSetReplicaFailure, Status: v1.ConditionTrue,
		Reason: "FailedCreate", Message: serverMessage(writeErr), LastTransitionTime: metav1.NewTime(now),
	}
	if missing < 0 {
		failure.Reason = "FailedDelete"
	}
	if i := slices.IndexFunc(s.Status.Conditions, isFailure); i >= 0 && s.Status.Conditions[i].Status == v1.ConditionTrue && s.Status.Conditions[i].Reason == failure.Reason {
		failure = s.Status.Conditions[i]
	}
	st.Conditions = append(st.Conditions, failure)
	return st
}

// serverMessage returns the message of the API server's status in err, else all of err.
func serverMessage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// nextAvailable returns how long it takes until the next ready pod has been ready for
// minReady seconds, 0 if there is no such pod.
func nextAvailable(pods []*v1.Pod, minReady int32, now time.Time) time.Duration {
	var soonest time.Duration
	for _, p := range pods {
		if !podfacts.Ready(p) || podfacts.Available(p, minReady, now) {
			continue
		}
		left := podfacts.ReadySince(p).Add(time.Duration(minReady) * time.Second).Sub(now)
		if soonest == 0 || left < soonest {
			soonest = max(left, time.Millisecond)
		}
	}
	return soonest
}
