package why

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func jobCondition(j *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range j.Status.Conditions {
		if j.Status.Conditions[i].Type == kind && j.Status.Conditions[i].Status == corev1.ConditionTrue {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

func (c *chain) job(j *batchv1.Job) {
	c.of("job/"+j.Name, func() {
		c.fine("object", "Job %s asks for %s to finish", j.Name, podCount(int(number(j.Spec.Completions, 1))))
		c.deletion(nil, "Job", &j.ObjectMeta)
		pods := c.f.podsOf(&j.ObjectMeta)
		switch {
		case c.over():
		case jobCondition(j, batchv1.JobComplete) != nil:
			c.fine("complete", "the Job has finished: %s", podCount(int(j.Status.Succeeded)))
		case isTrue(j.Spec.Suspend):
			c.broken(cause{
				hop: "suspend", reason: "Suspended", text: "the Job is suspended, so it has no pods",
				do: "Start it: " + c.kubectl(`patch job %s --type=merge -p '{"spec":{"suspend":false}}'`, j.Name),
			})
		case jobCondition(j, batchv1.JobFailed) != nil || jobCondition(j, batchv1.JobFailureTarget) != nil:
			failed := jobCondition(j, batchv1.JobFailed)
			if failed == nil {
				failed = jobCondition(j, batchv1.JobFailureTarget)
			}
			if failed.Reason == batchv1.JobReasonDeadlineExceeded {
				c.broken(cause{
					hop: "deadline", reason: "JobDeadline", text: fmt.Sprintf("the Job has run longer than its activeDeadlineSeconds, %d seconds, and was ended", *j.Spec.ActiveDeadlineSeconds),
					do: "Raise activeDeadlineSeconds, or make the work shorter; delete the Job and create it again.",
				})
				return
			}
			c.failedPod(j, pods, fmt.Sprintf("the Job has given up: %s (backoffLimit %d)", short(failed.Message, 200), number(j.Spec.BackoffLimit, 6)))
		case len(pods) == 0:
			c.refused("Job", &j.ObjectMeta, "")
		case j.Status.Failed > 0:
			c.failedPod(j, pods, fmt.Sprintf("%s failed so far; the Job tries again until backoffLimit, %d", podCount(int(j.Status.Failed)), number(j.Spec.BackoffLimit, 6)))
		default:
			c.fine("admission", "the Job has created its pods")
			c.firstBroken(pods)
			if !c.over() {
				c.fine("run", "the Job runs")
			}
		}
	})
}

// failedPod follows a pod of a Job that failed.
func (c *chain) failedPod(j *batchv1.Job, pods []*corev1.Pod, text string) {
	c.fine("admission", "the Job has created its pods")
	for _, p := range pods {
		if p.Status.Phase == corev1.PodFailed {
			c.pod(p)
			if c.over() {
				last := &c.out.Hops[len(c.out.Hops)-1]
				last.Details = append(last.Details, text)
				return
			}
		}
	}
	c.firstBroken(pods)
	c.broken(cause{hop: "pods", reason: "JobFailed", text: text, do: "See its events: " + c.kubectl("describe job %s", j.Name)})
}

func (c *chain) cronJob(j *batchv1.CronJob) {
	c.of("cronjob/"+j.Name, func() {
		c.fine("object", "CronJob %s has the schedule %q", j.Name, j.Spec.Schedule)
		c.deletion(nil, "CronJob", &j.ObjectMeta)
		if c.over() {
			return
		}
		if isTrue(j.Spec.Suspend) {
			c.broken(cause{
				hop: "suspend", reason: "Suspended", text: "the CronJob is suspended, so it creates no Jobs",
				do: "Let it go on: " + c.kubectl(`patch cronjob %s --type=merge -p '{"spec":{"suspend":false}}'`, j.Name),
			})
			return
		}
		if e := c.f.event("CronJob", j.Name, string(j.UID), "InvalidSchedule", "UnparseableSchedule", "UnknownTimeZone", "UnsupportedSchedule"); e != nil {
			c.broken(cause{hop: "schedule", reason: "Schedule", text: "the controller cannot use the schedule or the time zone", do: "Correct it: " + c.kubectl("edit cronjob %s", j.Name), details: []string{quote(e)}})
			return
		}
		if e := c.f.event("CronJob", j.Name, string(j.UID), "FailedCreate"); e != nil && j.Status.LastScheduleTime == nil {
			c.refused("CronJob", &j.ObjectMeta, e.Message)
			return
		}
		if e := c.f.event("CronJob", j.Name, string(j.UID), "MissSchedule", "TooManyMissedTimes"); e != nil && len(j.Status.Active) == 0 {
			c.broken(cause{hop: "schedule", reason: "MissedSchedule", text: "the CronJob has missed a time of its schedule", do: "Raise startingDeadlineSeconds: " + c.kubectl("edit cronjob %s", j.Name), details: []string{quote(e)}})
			return
		}
		if j.Status.LastScheduleTime == nil {
			text := "no time of the schedule has come since the CronJob was created at " + j.CreationTimestamp.UTC().Format(time.DateTime) + " UTC"
			if j.Spec.TimeZone == nil {
				text += "; without timeZone the schedule is in the controller's, mostly UTC"
			}
			c.waiting(cause{hop: "schedule", reason: "NotYetDue", text: text, do: "Try it now: " + c.kubectl("create job --from=cronjob/%s %s-try", j.Name, j.Name)})
			return
		}
		c.fine("schedule", "it last created a Job for %s UTC", j.Status.LastScheduleTime.UTC().Format(time.DateTime))
		c.lastJob(j)
	})
}

// lastJob follows the newest Job of a CronJob.
func (c *chain) lastJob(j *batchv1.CronJob) {
	var last *batchv1.Job
	for i := range c.f.Jobs {
		by := metav1.GetControllerOf(&c.f.Jobs[i])
		if by != nil && by.UID == j.UID && (last == nil || c.f.Jobs[i].CreationTimestamp.After(last.CreationTimestamp.Time)) {
			last = &c.f.Jobs[i]
		}
	}
	if last == nil {
		return
	}
	c.job(last)
	if e := c.f.event("CronJob", j.Name, string(j.UID), "JobAlreadyActive"); e != nil && c.over() {
		l := &c.out.Hops[len(c.out.Hops)-1]
		l.Details = append(l.Details, "concurrencyPolicy Forbid: no further Job is created while this one is active")
	}
}
