package replication

import (
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api/podfacts"
)

// nextStatus counts the set's active pods, and those on their way out. failed is the
// error of this round's creates or deletes; wanted is how many pods were missing
// (positive) or too many.
func nextStatus(s *Set, pods []*v1.Pod, terminating, wanted int, failed error, now time.Time) Status {
	st := Status{
		Replicas:           int32(len(pods)),
		ObservedGeneration: s.Object.GetGeneration(),
	}
	if s.Terminating {
		st.Terminating = int32(terminating)
	}
	var template labels.Selector
	if s.Template != nil {
		template = labels.SelectorFromSet(s.Template.Labels)
	}
	for _, p := range pods {
		if template != nil && template.Matches(labels.Set(p.Labels)) {
			st.FullyLabeled++
		}
		if podfacts.Ready(p) {
			st.Ready++
			if podfacts.Available(p, s.MinReady, now) {
				st.Available++
			}
		}
	}
	if failed != nil {
		st.Failure = &Failure{Reason: "FailedCreate", Message: inWords(failed), Since: metav1.NewTime(now)}
		if wanted < 0 {
			st.Failure.Reason = "FailedDelete"
		}
		if was := s.Status.Failure; was != nil && was.Reason == st.Failure.Reason {
			st.Failure = was
		}
	}
	return st
}

func (s Status) equal(o Status) bool {
	f, g := s.Failure, o.Failure
	s.Failure, o.Failure = nil, nil
	return s == o && (f == nil) == (g == nil) && (f == nil || *f == *g)
}

// inWords is what the server said, if it did, without what we were about.
func inWords(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// nextAvailable is how long it takes until the next ready pod has been ready for minReady
// seconds, 0 if there is none to wait for.
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
