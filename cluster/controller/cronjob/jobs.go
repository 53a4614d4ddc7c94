package cronjob

import (
	"cmp"
	"maps"
	"slices"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// jobFor returns the Job of one scheduled time.
func jobFor(cj *batch.CronJob, name string, at time.Time) *batch.Job {
	t := cj.Spec.JobTemplate.DeepCopy()
	j := &batch.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cj.Namespace, Name: name,
			Labels: maps.Clone(t.Labels), Annotations: maps.Clone(t.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cj, kind)},
		},
		Spec: t.Spec,
	}
	if j.Annotations == nil {
		j.Annotations = map[string]string{}
	}
	if zone := cj.Spec.TimeZone; zone != nil {
		if l, err := time.LoadLocation(*zone); err == nil {
			at = at.In(l)
		}
	}
	j.Annotations[batch.CronJobScheduledTimestampAnnotation] = at.Format(time.RFC3339)
	return j
}

// finished returns Complete or Failed, or "".
func finished(j *batch.Job) batch.JobConditionType {
	for _, c := range j.Status.Conditions {
		if (c.Type == batch.JobComplete || c.Type == batch.JobFailed) && c.Status == v1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

func activeAt(cj *batch.CronJob, uid types.UID) int {
	return slices.IndexFunc(cj.Status.Active, func(r v1.ObjectReference) bool { return r.UID == uid })
}

func reference(j *batch.Job) v1.ObjectReference {
	return v1.ObjectReference{
		APIVersion: batch.SchemeGroupVersion.String(), Kind: "Job",
		Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
	}
}

// surplus returns the oldest finished Jobs beyond the two history limits.
func surplus(cj *batch.CronJob, jobs []*batch.Job) []*batch.Job {
	var out []*batch.Job
	cut := func(how batch.JobConditionType, limit *int32) {
		if limit == nil {
			return
		}
		var of []*batch.Job
		for _, j := range jobs {
			if finished(j) == how && j.DeletionTimestamp == nil {
				of = append(of, j)
			}
		}
		slices.SortFunc(of, func(a, b *batch.Job) int { return cmp.Or(started(a).Compare(started(b)), cmp.Compare(a.Name, b.Name)) })
		if n := len(of) - int(*limit); n > 0 {
			out = append(out, of[:n]...)
		}
	}
	cut(batch.JobComplete, cj.Spec.SuccessfulJobsHistoryLimit)
	cut(batch.JobFailed, cj.Spec.FailedJobsHistoryLimit)
	return out
}

func started(j *batch.Job) time.Time {
	if j.Status.StartTime != nil {
		return j.Status.StartTime.Time
	}
	return j.CreationTimestamp.Time
}
