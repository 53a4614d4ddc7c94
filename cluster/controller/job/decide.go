package job

import (
	"slices"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/podcontrol"
)

// burst is the most pods one reconcile creates or deletes.
const burst = 500

// step is what to do next.
type step struct {
	// finish is SuccessCriteriaMet or FailureTarget, or nil while the job goes on. Complete
	// or Failed follows when no pod is left.
	finish       *batch.JobCondition
	delete       []*v1.Pod
	create       []podIdentity
	requeueAfter time.Duration // 0 is never
	suspended    *bool         // nil: the condition stays as it is
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

// decide returns the next step. It never both creates and deletes.
func (s *snapshot) decide() step {
	d := step{finish: s.finish(), requeueAfter: s.deadline()}
	switch {
	case d.finish != nil:
		if d.requeueAfter = 0; s.met {
			d.delete = s.active
		}
		return d
	case !s.met || s.job.DeletionTimestamp != nil:
		return d
	}
	s.manage(&d)
	if len(s.active)+len(d.create) == 0 && s.complete() {
		d.finish = condition(batch.JobSuccessCriteriaMet, batch.JobReasonCompletionsReached, "Reached expected number of succeeded pods", s.now)
		return d
	}
	is := suspended(s.job)
	d.suspended = &is
	return d
}

// complete reports whether as many pods succeeded as spec.completions. Without completions
// that is one pod; the others then terminate on their own.
func (s *snapshot) complete() bool {
	if s.job.Spec.Completions == nil {
		return s.succeeded > 0
	}
	return s.succeeded >= completions(s.job)
}

// finish returns the condition that finishes the job, or nil. One in the status stays.
func (s *snapshot) finish() *batch.JobCondition {
	if c := conditionOf(s.job, batch.JobSuccessCriteriaMet); c != nil {
		return c
	}
	if c := conditionOf(s.job, batch.JobFailureTarget); c != nil {
		return c
	}
	if s.job.DeletionTimestamp != nil {
		return nil // its pods are deleted with it, which is no failure
	}
	if reason, message := s.failure(); reason != "" {
		return condition(batch.JobFailureTarget, reason, message, s.now)
	}
	if indexed(s.job) {
		if why := successRule(s.job.Spec.SuccessPolicy, completions(s.job), s.done); why != "" {
			return condition(batch.JobSuccessCriteriaMet, batch.JobReasonSuccessPolicy, why, s.now)
		}
	}
	return nil
}

func (s *snapshot) failure() (reason, message string) {
	spec := &s.job.Spec
	for _, p := range s.pods {
		if failed(s.job, p) {
			if v := matchPolicy(spec.PodFailurePolicy, p); v.failJob != "" {
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

// restartedTooOften reports whether the containers of OnFailure pods were restarted limit times.
func (s *snapshot) restartedTooOften(limit int32) bool {
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

func (s *snapshot) overdue() bool {
	limit, start := s.job.Spec.ActiveDeadlineSeconds, s.job.Status.StartTime
	return limit != nil && start != nil && !suspended(s.job) && s.now.Sub(start.Time) >= time.Duration(*limit)*time.Second
}

// deadline returns how long the job may still run; 0 is no limit.
func (s *snapshot) deadline() time.Duration {
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

// manage adds the pods to create or to delete to the step.
func (s *snapshot) manage(d *step) {
	if suspended(s.job) {
		d.delete = bound(s.active)
		return
	}
	want := s.expectedPods()
	if d.delete = s.surplus(len(s.active) - want); len(d.delete) > 0 {
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
		if wait := s.backoff(); wait > 0 {
			d.requeueAfter = earlier(d.requeueAfter, wait)
			return
		}
	}
	missing = min(missing, burst)
	if !indexed(s.job) {
		for range missing {
			d.create = append(d.create, podIdentity{index: noIndex})
		}
		return
	}
	for _, i := range s.pending() {
		if len(d.create) == missing {
			return
		}
		next := podIdentity{index: i}
		if p := s.lastFailed[i]; p != nil {
			if wait := s.backoffOf(p); wait > 0 {
				d.requeueAfter = earlier(d.requeueAfter, wait)
				continue
			}
			next.failures, next.ignored = failures(p), ignored(p)
			if matchPolicy(s.job.Spec.PodFailurePolicy, p).counts {
				next.failures++
			} else {
				next.ignored++
			}
		}
		d.create = append(d.create, next)
	}
}

func earlier(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// expectedPods returns how many pods should be active.
func (s *snapshot) expectedPods() int {
	parallel := 1
	if n := s.job.Spec.Parallelism; n != nil {
		parallel = int(*n)
	}
	if s.job.Spec.Completions == nil {
		if s.succeeded > 0 {
			return len(s.active) // the work is done: they terminate on their own
		}
		return parallel
	}
	return max(0, min(parallel, completions(s.job)-s.succeeded))
}

// surplus returns at least n pods to delete: those whose deletion a crash interrupted, the
// second one of an index, those whose index is completed or out of range, then as
// podcontrol.PodsToDelete.
func (s *snapshot) surplus(n int) []*v1.Pod {
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
		out = append(out, podcontrol.PodsToDelete(left, left, more, s.now)...)
	}
	return bound(out)
}

func bound(pods []*v1.Pod) []*v1.Pod { return pods[:min(len(pods), burst)] }

func byAge(pods []*v1.Pod) []*v1.Pod {
	out := slices.Clone(pods)
	slices.SortStableFunc(out, func(a, b *v1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return out
}

// pending returns the lowest indexes that need a pod and have none, as many as one step
// can use.
func (s *snapshot) pending() []int {
	taken := map[int]bool{}
	for _, p := range s.pods {
		if podfacts.Active(p) || onlyFailed(s.job) && terminating(p) {
			taken[indexOf(s.job, p)] = true
		}
	}
	var out []int
	for i := 0; i < completions(s.job) && len(out) < burst+len(s.lastFailed); i++ {
		if !taken[i] && !s.done.has(i) && !s.lost.has(i) {
			out = append(out, i)
		}
	}
	return out
}
