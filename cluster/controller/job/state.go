package job

import (
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
)

// A pod that has ended is counted in three steps, each of which may be the last
// one before a crash: its uid goes into the status (uncountedTerminatedPods); then
// its finalizer goes; then, when the cache shows it without the finalizer, the uid
// becomes one more in the count. So each pod is counted once: one that has the
// finalizer is new if its uid is not in the status, and one that has none was seen.

// state is what one decision is made from: the job, its pods, and what follows from them.
type state struct {
	job     *batch.Job
	pods    []*v1.Pod
	now     time.Time
	settled bool // the cache shows all pods that were made and deleted

	active      []*v1.Pod
	ready       int
	terminating int
	newFailed   []*v1.Pod // with their finalizer, and not in the status yet
	succeeded   int       // all, counted and not
	failed      int       // all that count, counted and not
	done, lost  indexes   // that succeeded and that failed for good
	// late are failed pods that keep their finalizer until their successor is there,
	// because they hold the count of their index.
	late map[int]*v1.Pod
}

func newState(j *batch.Job, pods []*v1.Pod, settled bool, now time.Time) *state {
	s := &state{job: j, pods: pods, now: now, settled: settled}
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
			if v := judge(j.Spec.PodFailurePolicy, p); i != noIndex && perIndex(j) && (v.index || v.counts && failures(p) >= int(*j.Spec.BackoffLimitPerIndex)) {
				newLost = append(newLost, i)
			}
			if !seen[p.UID] {
				s.newFailed = append(s.newFailed, p)
				if judge(j.Spec.PodFailurePolicy, p).counts && (!indexed(j) || i != noIndex) {
					s.failed++
				}
			}
		}
	}
	s.done, s.lost = s.done.with(newDone...), s.lost.with(newLost...)
	if indexed(j) {
		s.succeeded = s.done.total()
	}
	s.findLate()
	return s
}

// uncounted are the uids that the status holds.
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

func (s *state) findLate() {
	if !perIndex(s.job) || s.job.DeletionTimestamp != nil {
		return
	}
	s.late = map[int]*v1.Pod{}
	for _, p := range s.newFailed {
		i := indexOf(s.job, p)
		if i == noIndex || s.done.has(i) || s.lost.has(i) {
			continue
		}
		if was := s.late[i]; was == nil || failures(was)+ignored(was) < failures(p)+ignored(p) {
			s.late[i] = p
		}
	}
	for _, p := range s.active {
		i := indexOf(s.job, p)
		if was := s.late[i]; was != nil && failures(p)+ignored(p) > failures(was)+ignored(was) {
			delete(s.late, i)
		}
	}
}
