package job

import (
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
)

// A terminal pod is counted in three steps, and a crash may follow each: its uid is added to
// the status (uncountedTerminatedPods); its finalizer is removed; when the cache shows it
// without the finalizer, the uid is removed and the count is incremented. So each pod
// is counted once: one with the finalizer is new unless its uid is in the status, and one
// without it was counted.

// snapshot is what the next step is computed from: the job, its pods, and what is derived
// from them.
type snapshot struct {
	job  *batch.Job
	pods []*v1.Pod
	now  time.Time
	met  bool // the cache shows all pods that were created and deleted

	active      []*v1.Pod
	ready       int
	terminating int
	newFailed   []*v1.Pod // with the finalizer, and not in the status yet
	succeeded   int       // all, counted and not
	failed      int       // all that count, counted and not
	done, lost  indexes   // completed, and failed finally
	// lastFailed is the last failed pod of an index. It keeps its finalizer until its
	// replacement exists, because it holds the failure count of the index.
	lastFailed map[int]*v1.Pod
}

func newSnapshot(j *batch.Job, pods []*v1.Pod, met bool, now time.Time) *snapshot {
	s := &snapshot{job: j, pods: pods, now: now, met: met}
	seen := uncounted(j)
	s.succeeded = int(j.Status.Succeeded)
	s.failed = int(j.Status.Failed)
	if u := j.Status.UncountedTerminatedPods; u != nil {
		s.succeeded += len(u.Succeeded)
		s.failed += len(u.Failed)
	}
	s.done = parseIndexes(j.Status.CompletedIndexes, completions(j))
	if j.Status.FailedIndexes != nil {
		s.lost = parseIndexes(*j.Status.FailedIndexes, completions(j))
	}
	var newDone, newLost []int
	for _, p := range pods {
		if podfacts.Active(p) {
			s.active = append(s.active, p)
			if podfacts.Ready(p) {
				s.ready++
			}
		}
		if terminating(p) {
			s.terminating++
		}
		if !tracked(p) {
			continue
		}
		switch i := indexOf(j, p); {
		case p.Status.Phase == v1.PodSucceeded:
			if i != noIndex {
				newDone = append(newDone, i)
			}
			if !seen[p.UID] {
				s.succeeded++
			}
		case failed(j, p):
			if v := matchPolicy(j.Spec.PodFailurePolicy, p); i != noIndex && perIndex(j) && (v.index || v.counts && failures(p) >= int(*j.Spec.BackoffLimitPerIndex)) {
				newLost = append(newLost, i)
			}
			if !seen[p.UID] {
				s.newFailed = append(s.newFailed, p)
				if matchPolicy(j.Spec.PodFailurePolicy, p).counts && (!indexed(j) || i != noIndex) {
					s.failed++
				}
			}
		}
	}
	s.done, s.lost = s.done.with(newDone...), s.lost.with(newLost...)
	if indexed(j) {
		s.succeeded = s.done.total()
	}
	s.findLastFailed()
	return s
}

// uncounted returns the uids in the status.
func uncounted(j *batch.Job) map[types.UID]bool {
	out := map[types.UID]bool{}
	if u := j.Status.UncountedTerminatedPods; u != nil {
		for _, id := range u.Succeeded {
			out[id] = true
		}
		for _, id := range u.Failed {
			out[id] = true
		}
	}
	return out
}

func (s *snapshot) findLastFailed() {
	if !perIndex(s.job) || s.job.DeletionTimestamp != nil {
		return
	}
	s.lastFailed = map[int]*v1.Pod{}
	for _, p := range s.newFailed {
		i := indexOf(s.job, p)
		if i == noIndex || s.done.has(i) || s.lost.has(i) {
			continue
		}
		if was := s.lastFailed[i]; was == nil || failures(was)+ignored(was) < failures(p)+ignored(p) {
			s.lastFailed[i] = p
		}
	}
	for _, p := range s.active {
		i := indexOf(s.job, p)
		if was := s.lastFailed[i]; was != nil && failures(p)+ignored(p) > failures(was)+ignored(was) {
			delete(s.lastFailed, i)
		}
	}
}
