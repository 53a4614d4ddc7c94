package replication

import (
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// nextStatus counts the set's active pods. failed is the error of this round's
// creates or deletes; wanted is how many pods were missing (positive) or too many.
func nextStatus(s *Set, pods []*v1.Pod, wanted int, failed error, now time.Time) Status {
	st := Status{
		Replicas:           int32(len(pods)),
		ObservedGeneration: s.Object.GetGeneration(),
	}
	var template labels.Selector
	if s.Template != nil {
		template = labels.SelectorFromSet(s.Template.Labels)
	}
	for _, p := range pods {
		if template != nil && template.Matches(labels.Set(p.Labels)) {
			st.FullyLabeled++
		}
		if _, ready := Ready(p); ready {
			st.Ready++
			if Available(p, s.MinReady, now) {
				st.Available++
			}
		}
	}
	if failed != nil {
		st.Failure = &Failure{Reason: "FailedCreate", Message: failed.Error(), Since: metav1.NewTime(now)}
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
