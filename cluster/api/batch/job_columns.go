package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func jobRow(j *batchv1.Job) []any {
	names, images := podrules.ContainerCells(j.Spec.Template.Spec.Containers)
	return []any{
		j.Name, jobStatus(j), jobCompletions(j), jobDuration(j), rules.Age(j.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(j.Spec.Selector),
	}
}

func jobStatus(j *batchv1.Job) string {
	switch {
	case isConditionTrue(j, batchv1.JobComplete):
		return "Complete"
	case isConditionTrue(j, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case isConditionTrue(j, batchv1.JobSuspended):
		return "Suspended"
	case isConditionTrue(j, batchv1.JobFailureTarget):
		return "FailureTarget"
	case isConditionTrue(j, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func isConditionTrue(j *batchv1.Job, t batchv1.JobConditionType) bool {
	for _, c := range j.Status.Conditions {
		if c.Type == t && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

func jobCompletions(j *batchv1.Job) string {
	done := j.Status.Succeeded
	if n := j.Spec.Completions; n != nil {
		return fmt.Sprintf("%d/%d", done, *n)
	}
	if n := j.Spec.Parallelism; n != nil && *n > 1 {
		return fmt.Sprintf("%d/1 of %d", done, *n)
	}
	return fmt.Sprintf("%d/1", done)
}

func jobDuration(j *batchv1.Job) string {
	switch s := j.Status; {
	case s.StartTime == nil:
		return ""
	case s.CompletionTime == nil:
		return duration.HumanDuration(rules.Now().Sub(s.StartTime.Time))
	default:
		return duration.HumanDuration(s.CompletionTime.Sub(s.StartTime.Time))
	}
}
