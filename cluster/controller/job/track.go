package job

import (
	"cmp"
	"slices"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// maxUncounted bounds the uids in a status, which must not grow with the job.
const maxUncounted = 500

// track returns the next status, and the counted pods. The status must be written before
// their finalizers are removed.
func (s *snapshot) track(d *step, active, ready int) (next *batch.JobStatus, counted []*v1.Pod) {
	next = s.job.Status.DeepCopy()
	if next.UncountedTerminatedPods == nil {
		next.UncountedTerminatedPods = &batch.UncountedTerminatedPods{}
	}
	s.settle(next)
	counted = s.count(next, d.finish != nil)
	next.Active = int32(active)
	r, t := int32(ready), int32(s.terminating)
	next.Ready, next.Terminating = &r, &t
	s.times(next, d)
	if d.finish != nil {
		s.conclude(next, d.finish)
	}
	return next, counted
}

// settle moves uids of the status to the counts, where the pod has no finalizer any more.
func (s *snapshot) settle(next *batch.JobStatus) {
	held := map[types.UID]bool{}
	for _, p := range s.pods {
		if tracked(p) {
			held[p.UID] = true
		}
	}
	count := func(in []types.UID, n *int32) []types.UID {
		return slices.DeleteFunc(in, func(id types.UID) bool {
			if !held[id] {
				*n++
			}
			return !held[id]
		})
	}
	u := next.UncountedTerminatedPods
	u.Succeeded = count(u.Succeeded, &next.Succeeded)
	u.Failed = count(u.Failed, &next.Failed)
}

// count adds the uids of terminal pods to the status, and returns the pods whose finalizer
// may be removed once it is written.
func (s *snapshot) count(next *batch.JobStatus, ending bool) (free []*v1.Pod) {
	u := next.UncountedTerminatedPods
	seen := uncounted(s.job)
	done := parseIndexes(next.CompletedIndexes, completions(s.job))
	var newDone []int
	pods := slices.Clone(s.pods)
	slices.SortStableFunc(pods, func(a, b *v1.Pod) int { return cmp.Compare(indexOf(s.job, a), indexOf(s.job, b)) })
	for _, p := range pods {
		if len(u.Succeeded)+len(u.Failed)+len(newDone) >= maxUncounted {
			break // the rest when these are counted
		}
		i, lost := indexOf(s.job, p), failed(s.job, p)
		switch {
		case !tracked(p):
			continue
		case !ending && s.lastFailed[i] == p:
			continue
		case p.Status.Phase == v1.PodSucceeded && indexed(s.job):
			if i != noIndex && !done.has(i) {
				newDone = append(newDone, i)
			}
		case p.Status.Phase == v1.PodSucceeded:
			if !seen[p.UID] {
				u.Succeeded = append(u.Succeeded, p.UID)
			}
		case lost:
			counts := matchPolicy(s.job.Spec.PodFailurePolicy, p).counts && (!indexed(s.job) || i != noIndex)
			if counts && !seen[p.UID] {
				u.Failed = append(u.Failed, p.UID)
			}
		case s.job.DeletionTimestamp == nil:
			continue
		}
		free = append(free, p)
	}
	if indexed(s.job) {
		done = done.with(newDone...)
		next.CompletedIndexes, next.Succeeded = done.String(), int32(done.total())
	}
	if perIndex(s.job) {
		text := s.lost.String()
		next.FailedIndexes = &text
	}
	return free
}

// times sets the start time and the Suspended condition. A suspended job has no start time, and
// a resumed one starts again.
func (s *snapshot) times(next *batch.JobStatus, d *step) {
	now := metav1.NewTime(s.now)
	if next.StartTime == nil && (!suspended(s.job) || d.finish != nil) {
		next.StartTime = &now
	}
	if d.suspended == nil {
		return
	}
	was := slices.IndexFunc(next.Conditions, func(c batch.JobCondition) bool { return c.Type == batch.JobSuspended })
	switch {
	case *d.suspended && (was < 0 || next.Conditions[was].Status != v1.ConditionTrue):
		set(next, condition(batch.JobSuspended, "JobSuspended", "Job suspended", s.now))
		next.StartTime = nil
	case !*d.suspended && was >= 0 && next.Conditions[was].Status == v1.ConditionTrue:
		c := condition(batch.JobSuspended, "JobResumed", "Job resumed", s.now)
		c.Status = v1.ConditionFalse
		set(next, c)
		next.StartTime = &now
	}
}

// set replaces the condition of the type, or appends it.
func set(st *batch.JobStatus, c *batch.JobCondition) {
	for i := range st.Conditions {
		if st.Conditions[i].Type == c.Type {
			if st.Conditions[i].Status != c.Status {
				st.Conditions[i] = *c
			}
			return
		}
	}
	st.Conditions = append(st.Conditions, *c)
}

// conclude sets the finishing condition, and Complete or Failed when no pod is left and all
// are counted.
func (s *snapshot) conclude(next *batch.JobStatus, end *batch.JobCondition) {
	set(next, end)
	left := next.Active > 0 || *next.Terminating > 0 || !s.met ||
		len(next.UncountedTerminatedPods.Succeeded)+len(next.UncountedTerminatedPods.Failed) > 0 ||
		slices.ContainsFunc(s.pods, tracked)
	if left {
		return
	}
	t := batch.JobFailed
	if end.Type == batch.JobSuccessCriteriaMet {
		t = batch.JobComplete
		now := metav1.NewTime(s.now)
		next.CompletionTime = &now
	}
	set(next, condition(t, end.Reason, end.Message, s.now))
	zero := int32(0)
	next.Ready = &zero
}
