package job

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Failed pods are replaced after 10 s, 20 s, 40 s, ... The delay follows from the
// pods that are there, so that a restart of the controller does not shorten it.
const (
	firstDelay = 10 * time.Second
	lastDelay  = 10 * time.Minute
)

func delay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	d := firstDelay
	for i := 1; i < failures && d < lastDelay; i++ {
		d *= 2
	}
	return min(d, lastDelay)
}

// patience is how long to wait with new pods: by the failures since the last
// success, or since the job was resumed.
func (s *state) patience() time.Duration {
	var success, failure time.Time
	if at := s.job.Status.StartTime; at != nil {
		success = at.Add(-time.Nanosecond)
	}
	for _, p := range s.pods {
		if at := ended(p); p.Status.Phase == v1.PodSucceeded && at.After(success) {
			success = at
		}
	}
	n := 0
	for _, p := range s.pods {
		if !failed(s.job, p) || !judge(s.job.Spec.PodFailurePolicy, p).counts {
			continue
		}
		if at := ended(p); at.After(success) {
			n++
			if at.After(failure) {
				failure = at
			}
		}
	}
	return max(0, delay(n)-s.now.Sub(failure))
}

// patienceOf is the same for the successor of one failed pod.
func (s *state) patienceOf(p *v1.Pod) time.Duration {
	return max(0, delay(failures(p)+ignored(p)+1)-s.now.Sub(ended(p)))
}
