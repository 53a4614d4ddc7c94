package batch

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

// validateJobStatus validates a status: terminal conditions are final, counters do not decrease, fields are
// consistent. As upstream most rules apply to changed fields only.
func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&j.ObjectMeta, &old.ObjectMeta)
	s := &j.Status
	errs = append(errs, rules.NonNegativeCounts(
		rules.Count("active", s.Active),
		rules.Count("succeeded", s.Succeeded),
		rules.Count("failed", s.Failed),
	)...)
	errs = append(errs, rules.NonNegativePtr(s.Ready, rules.StatusPath.Child("ready"))...)
	errs = append(errs, rules.NonNegativePtr(s.Terminating, rules.StatusPath.Child("terminating"))...)
	errs = append(errs, validateUncountedPods(s.UncountedTerminatedPods)...)
	errs = append(errs, validateJobConditions(j, old)...)
	errs = append(errs, validateJobTimes(j, old)...)
	errs = append(errs, validateFinishedJob(j, old)...)
	errs = append(errs, validateJobIndexes(j, old)...)
	if s.Ready != nil && *s.Ready > s.Active && !rules.Equal(s.Ready, old.Status.Ready) {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("ready"), *s.Ready, "cannot set more ready pods than active"))
	}
	if s.Failed < old.Status.Failed {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("failed"), s.Failed, "cannot decrease the failed counter"))
	}
	// An indexed job can be scaled down.
	if s.Succeeded < old.Status.Succeeded && !isIndexed(&j.Spec) {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("succeeded"), s.Succeeded, "cannot decrease the succeeded counter"))
	}
	return errs
}

func validateUncountedPods(u *batchv1.UncountedTerminatedPods) field.ErrorList {
	if u == nil {
		return nil
	}
	var errs field.ErrorList
	seen := map[types.UID]bool{}
	check := func(list []types.UID, p *field.Path) {
		for i, uid := range list {
			switch {
			case uid == "":
				errs = append(errs, field.Invalid(p.Index(i), uid, "must not be empty"))
			case seen[uid]:
				errs = append(errs, field.Duplicate(p.Index(i), uid))
			}
			seen[uid] = true
		}
	}
	check(u.Succeeded, rules.StatusPath.Child("uncountedTerminatedPods", "succeeded"))
	check(u.Failed, rules.StatusPath.Child("uncountedTerminatedPods", "failed"))
	return errs
}

func validateJobConditions(j, old *batchv1.Job) field.ErrorList {
	var errs field.ErrorList
	p := rules.StatusPath.Child("conditions")
	refuse := func(wrong bool, message string) {
		if wrong {
			errs = append(errs, field.Invalid(p, field.OmitValueType{}, message))
		}
	}
	newly := func(t batchv1.JobConditionType) bool { return isConditionTrue(j, t) && !isConditionTrue(old, t) }
	complete, failed := isConditionTrue(j, batchv1.JobComplete), isConditionTrue(j, batchv1.JobFailed)
	enough, failing := isConditionTrue(j, batchv1.JobSuccessCriteriaMet), isConditionTrue(j, batchv1.JobFailureTarget)

	refuse(complete && failed && (newly(batchv1.JobComplete) || newly(batchv1.JobFailed)), "cannot set Complete=True and Failed=true conditions")
	refuse(complete && failing && newly(batchv1.JobComplete), "cannot set Complete=True and FailureTarget=true conditions")
	refuse(newly(batchv1.JobFailed) && !failing, "cannot set Failed=True condition without the FailureTarget=true condition")
	refuse(newly(batchv1.JobComplete) && !enough, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	refuse(enough && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
	refuse(enough && failing, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		refuse(isConditionTrue(old, t) && !isConditionTrue(j, t), "cannot disable the terminal "+string(t)+"=True condition")
	}
	refuse(isConditionTrue(old, batchv1.JobSuccessCriteriaMet) && !enough, "cannot disable the SuccessCriteriaMet=True condition")
	refuse(isConditionTrue(old, batchv1.JobComplete) && newly(batchv1.JobSuccessCriteriaMet), "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	return errs
}

func validateJobTimes(j, old *batchv1.Job) field.ErrorList {
	var errs field.ErrorList
	start, end := j.Status.StartTime, j.Status.CompletionTime
	at, complete := rules.StatusPath.Child("completionTime"), isConditionTrue(j, batchv1.JobComplete)
	if rules.Equal(j.Status, old.Status) {
		return nil
	}
	switch {
	case end != nil && !complete:
		errs = append(errs, field.Invalid(at, end, "cannot set completionTime when there is no Complete=True condition"))
	case end == nil && complete:
		errs = append(errs, field.Required(at, "completionTime is required for Complete jobs"))
	}
	if start != nil && end != nil && end.Before(start) {
		errs = append(errs, field.Invalid(at, end, "must be equal to or after `startTime`"))
	}
	if was := old.Status.CompletionTime; end != nil && was != nil && !end.Equal(was) {
		errs = append(errs, field.Invalid(at, end, "field is immutable"))
	}
	if was := old.Status.StartTime; was != nil && !equalTimes(was, start) && !ptr.Deref(j.Spec.Suspend, false) && !isResumed(j, old) {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("startTime"), start, "field is immutable for unsuspended job once set"))
	}
	return errs
}

// isResumed reports whether the update resumes a suspended job, which resets its start time.
func isResumed(j, old *batchv1.Job) bool {
	return isConditionTrue(old, batchv1.JobSuspended) && slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobSuspended && c.Status == corev1.ConditionFalse
	})
}

func equalTimes(a, b *metav1.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// validateFinishedJob reports running or uncounted pods of a finished job.
func validateFinishedJob(j, old *batchv1.Job) field.ErrorList {
	if !isConditionTrue(j, batchv1.JobComplete) && !isConditionTrue(j, batchv1.JobFailed) || rules.Equal(j.Status, old.Status) {
		return nil
	}
	var errs field.ErrorList
	s := &j.Status
	if s.Active > 0 {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if s.StartTime == nil {
		errs = append(errs, field.Required(rules.StatusPath.Child("startTime"), "startTime is required for finished job"))
	}
	if u := s.UncountedTerminatedPods; u != nil && len(u.Failed)+len(u.Succeeded) > 0 {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("uncountedTerminatedPods"), u, "uncountedTerminatedPods needs to be empty for finished job"))
	}
	if t := s.Terminating; t != nil && *t > 0 {
		errs = append(errs, field.Invalid(rules.StatusPath.Child("terminating"), *t, "terminating>0 is invalid for finished job"))
	}
	return errs
}

func validateJobIndexes(j, old *batchv1.Job) field.ErrorList {
	s := &j.Status
	if s.CompletedIndexes == old.Status.CompletedIndexes && rules.Equal(s.FailedIndexes, old.Status.FailedIndexes) {
		return nil
	}
	var errs field.ErrorList
	completed, failed := rules.StatusPath.Child("completedIndexes"), rules.StatusPath.Child("failedIndexes")
	all := j.Spec.Completions
	if all != nil {
		if _, err := parseIndexes(s.CompletedIndexes, *all); err != nil {
			errs = append(errs, field.Invalid(completed, s.CompletedIndexes, "error parsing completedIndexes: "+err.Error()))
		}
	}
	if s.CompletedIndexes != "" && !isIndexed(&j.Spec) {
		errs = append(errs, field.Invalid(completed, s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"))
	}
	if s.FailedIndexes == nil {
		return errs
	}
	if j.Spec.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Invalid(failed, *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"))
	}
	if all == nil {
		return errs
	}
	if _, err := parseIndexes(*s.FailedIndexes, *all); err != nil && j.Spec.BackoffLimitPerIndex != nil {
		errs = append(errs, field.Invalid(failed, *s.FailedIndexes, "error parsing failedIndexes: "+err.Error()))
	}
	if err := overlappingIndex(s.CompletedIndexes, *s.FailedIndexes, *all); err != nil {
		errs = append(errs, field.Invalid(failed, *s.FailedIndexes, err.Error()))
	}
	return errs
}
