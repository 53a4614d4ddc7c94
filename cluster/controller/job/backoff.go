package job

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Failed pods are replaced after 10 s, 20 s, 40 s, ... The delay is computed from the pods
// in the cache, so that a restart of the controller does not shorten it.
const (
	minDelay = 10 * time.Second
	maxDelay = 10 * time.Minute
)

func delay(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	d := minDelay
	for i := 1; i < failures && d < maxDelay; i++ {
		d *= 2
	}
	return min(d, maxDelay)
}

// backoff returns how long to delay new pods, by the failures since the last success or
// since the job was resumed.
func (s *snapshot) backoff() time.Duration {
	var success, failure time.Time
	if at := s.job.Status.StartTime; at != nil {
		success = at.Add(-time.Nanosecond)
	}
	for _, p := range s.pods {
		if at := finishedAt(p); p.Status.Phase == v1.PodSucceeded && at.After(success) {
			success = at
		}
	}
	n := 0
	for _, p := range s.pods {
		if !failed(s.job, p) || !matchPolicy(s.job.Spec.PodFailurePolicy, p).counts {
			continue
		}
		if at := finishedAt(p); at.After(success) {
			n++
			if at.After(failure) {
				failure = at
			}
		}
	}
	return max(0, delay(n)-s.now.Sub(failure))
}

// backoffOf returns the same for the replacement of one failed pod.
func (s *snapshot) backoffOf(p *v1.Pod) time.Duration {
	return max(0, delay(failures(p)+ignored(p)+1)-s.now.Sub(finishedAt(p)))
}
