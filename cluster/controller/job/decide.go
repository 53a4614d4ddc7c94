package job

import (
	"slices"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/replication"
)

// burst is the most pods one reconcile creates or deletes.
const burst = 500

// decision is what to do next.
type decision struct {
	// end is why no more pods are wanted: SuccessCriteriaMet or FailureTarget. The
	// job's own condition follows when no pod is left.
	end    *batch.JobCondition
	delete []*v1.Pod
	create []born
	wait   time.Duration // until the next look, 0 is none
	// halted says that the job is suspended, or is not; nil leaves open which.
	halted *bool
}

func condition(t batch.JobConditionType, reason, message string, now time.Time) *batch.JobCondition {
	at := metav1.NewTime(now)
	return &batch.JobCondition{
		Type: t, Status: v1.ConditionTrue, Reason: reason, Message: message, LastProbeTime: at, LastTransitionTime: at,
	}
}

func conditionOf(j *batch.Job, t batch.JobConditionType) *batch.JobCondition {
	for i := range j.Status.Conditions {
		if c := &j.Status.Conditions[i]; c.Type == t && c.Status == v1.ConditionTrue {
			return c
		}
	}
	return nil
}

func finished(j *batch.Job) bool {
	return conditionOf(j, batch.JobComplete) != nil || conditionOf(j, batch.JobFailed) != nil
}

// decide says what to do next. It never both creates and deletes.
func (s *state) decide() decision {
	d := decision{end: s.end(), wait: s.deadline()}
	switch {
	case d.end != nil:
		if d.wait = 0; s.settled {
			d.delete = s.active
		}
		return d
	case !s.settled || s.job.DeletionTimestamp != nil:
		return d
	}
	s.manage(&d)
	if len(s.active)+len(d.create) == 0 && s.complete() {
		d.end = condition(batch.JobSuccessCriteriaMet, batch.JobReasonCompletionsReached, "Reached expected number of succeeded pods", s.now)
		return d
	}
	is := suspended(s.job)
	d.halted = &is
	return d
}

// complete says whether what succeeded is all that was asked for. Without a number
// of completions that is one pod, after which the others end by themselves.
func (s *state) complete() bool {
	if s.job.Spec.Completions == nil {
		return s.succeeded > 0
	}
	return s.succeeded >= completions(s.job)
}

// end is why the job is to end, if it is. What was once decided stays.
func (s *state) end() *batch.JobCondition {
	if c := conditionOf(s.job, batch.JobSuccessCriteriaMet); c != nil {
		return c
	}
	if c := conditionOf(s.job, batch.JobFailureTarget); c != nil {
		return c
	}
	if s.job.DeletionTimestamp != nil {
		return nil // its pods go with it, which is no failure
	}
	if reason, message := s.failure(); reason != "" {
		return condition(batch.JobFailureTarget, reason, message, s.now)
	}
	if indexed(s.job) {
		if why := enough(s.job.Spec.SuccessPolicy, completions(s.job), s.done); why != "" {
			return condition(batch.JobSuccessCriteriaMet, batch.JobReasonSuccessPolicy, why, s.now)
		}
	}
	return nil
}

func (s *state) failure() (reason, message string) {
	spec := &s.job.Spec
	for _, p := range s.pods {
		if failed(s.job, p) {
			if v := judge(spec.PodFailurePolicy, p); v.failJob != "" {
				return batch.JobReasonPodFailurePolicy, v.failJob
			}
		}
	}
	switch {
	case spec.BackoffLimit != nil && (s.failed > int(*spec.BackoffLimit) || s.restartedTooOften(*spec.BackoffLimit)):
		return batch.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit"
	case s.overdue():
		return batch.JobReasonDeadlineExceeded, "Job was active longer than specified deadline"
	case !perIndex(s.job):
	case spec.MaxFailedIndexes != nil && s.lost.total() > int(*spec.MaxFailedIndexes):
		return batch.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes"
	case s.lost.total() > 0 && s.lost.total()+s.done.total() >= completions(s.job):
		return batch.JobReasonFailedIndexes, "Job has failed indexes"
	}
	return "", ""
}

// restartedTooOften counts the restarts of containers of pods that start them anew themselves.
func (s *state) restartedTooOften(limit int32) bool {
	if s.job.Spec.Template.Spec.RestartPolicy != v1.RestartPolicyOnFailure {
		return false
	}
	var n int32
	for _, p := range s.pods {
		if p.Status.Phase != v1.PodRunning && p.Status.Phase != v1.PodPending {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			n += c.RestartCount
		}
	}
	return n > 0 && n >= limit
}

func (s *state) overdue() bool {
	limit, start := s.job.Spec.ActiveDeadlineSeconds, s.job.Status.StartTime
	return limit != nil && start != nil && !suspended(s.job) && s.now.Sub(start.Time) >= time.Duration(*limit)*time.Second
}

// deadline is how long the job may still run; 0 is for ever.
func (s *state) deadline() time.Duration {
	limit := s.job.Spec.ActiveDeadlineSeconds
	if limit == nil || suspended(s.job) || s.job.DeletionTimestamp != nil {
		return 0
	}
	start := s.now
	if at := s.job.Status.StartTime; at != nil {
		start = at.Time
	}
	return max(start.Add(time.Duration(*limit)*time.Second).Sub(s.now), time.Millisecond)
}

// manage makes the number of running pods right.
func (s *state) manage(d *decision) {
	if suspended(s.job) {
		d.delete = bound(s.active)
		return
	}
	want := s.wanted()
	if d.delete = s.superfluous(len(s.active) - want); len(d.delete) > 0 {
		return
	}
	missing := want - len(s.active)
	if onlyFailed(s.job) {
		missing -= s.terminating
	}
	if missing <= 0 {
		return
	}
	if !perIndex(s.job) {
		if wait := s.patience(); wait > 0 {
			d.wait = sooner(d.wait, wait)
			return
		}
	}
	missing = min(missing, burst)
	if !indexed(s.job) {
		for range missing {
			d.create = append(d.create, born{index: noIndex})
		}
		return
	}
	for _, i := range s.pending() {
		if len(d.create) == missing {
			return
		}
		next := born{index: i}
		if p := s.late[i]; p != nil {
			if wait := s.patienceOf(p); wait > 0 {
				d.wait = sooner(d.wait, wait)
				continue
			}
			next.failures, next.ignored = failures(p), ignored(p)
			if judge(s.job.Spec.PodFailurePolicy, p).counts {
				next.failures++
			} else {
				next.ignored++
			}
		}
		d.create = append(d.create, next)
	}
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// wanted is how many pods should run.
func (s *state) wanted() int {
	parallel := 1
	if n := s.job.Spec.Parallelism; n != nil {
		parallel = int(*n)
	}
	if s.job.Spec.Completions == nil {
		if s.succeeded > 0 {
			return len(s.active) // they know that the work is done, and end by themselves
		}
		return parallel
	}
	return max(0, min(parallel, completions(s.job)-s.succeeded))
}

// superfluous picks at least n pods to delete: one whose deletion a crash cut in two,
// the second one of an index, one whose index is done or not the job's, then those
// whose loss hurts least.
func (s *state) superfluous(n int) []*v1.Pod {
	var out, left []*v1.Pod
	held := map[int]bool{}
	for _, p := range byAge(s.active) {
		i := indexOf(s.job, p)
		switch {
		case !tracked(p) && metav1.IsControlledBy(p, s.job):
			out = append(out, p)
		case indexed(s.job) && (i == noIndex || held[i] || s.done.has(i)):
			out = append(out, p)
		default:
			held[i] = true
			left = append(left, p)
		}
	}
	if more := n - len(out); more > 0 {
		out = append(out, replication.Doomed(left, left, more, s.now)...)
	}
	return bound(out)
}

func bound(pods []*v1.Pod) []*v1.Pod { return pods[:min(len(pods), burst)] }

func byAge(pods []*v1.Pod) []*v1.Pod {
	out := slices.Clone(pods)
	slices.SortStableFunc(out, func(a, b *v1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return out
}

// pending are the indexes that have no pod and need one, the lowest first, as
// many as could be of use.
func (s *state) pending() []int {
	taken := map[int]bool{}
	for _, p := range s.pods {
		if podfacts.Active(p) || onlyFailed(s.job) && terminating(p) {
			taken[indexOf(s.job, p)] = true
		}
	}
	var out []int
	for i := 0; i < completions(s.job) && len(out) < burst+len(s.late); i++ {
		if !taken[i] && !s.done.has(i) && !s.lost.has(i) {
			out = append(out, i)
		}
	}
	return out
}
