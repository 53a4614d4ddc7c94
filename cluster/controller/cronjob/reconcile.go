package cronjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/loop"
)

// reconcile updates the list of active Jobs, creates a Job if one is due, and requeues the
// CronJob for the next.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	is, err := c.crons.CronJobs(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	jobs, err := c.own(is)
	if err != nil {
		return err
	}
	cj := is.DeepCopy()
	failed := c.updateActive(ctx, cj, jobs)
	if failed == nil && cj.DeletionTimestamp == nil {
		var wait time.Duration
		wait, failed = c.schedule(ctx, cj, jobs)
		if wait > 0 {
			c.AddAfter(key, wait)
		}
	}
	for _, j := range surplus(cj, jobs) {
		failed = errors.Join(failed, c.delete(ctx, cj, j.Name, j.UID))
	}
	if equality.Semantic.DeepEqual(cj.Status, is.Status) {
		return failed
	}
	_, err = c.Client.BatchV1().CronJobs(namespace).UpdateStatus(ctx, cj, metav1.UpdateOptions{})
	return errors.Join(failed, loop.IgnoreNotFound(err))
}

func (c *Controller) own(cj *batch.CronJob) ([]*batch.Job, error) {
	all, err := c.jobs.Jobs(cj.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return slices.DeleteFunc(all, func(j *batch.Job) bool { return !metav1.IsControlledBy(j, cj) }), nil
}

// updateActive updates the status's list of active Jobs.
func (c *Controller) updateActive(ctx context.Context, cj *batch.CronJob, jobs []*batch.Job) error {
	known := map[types.UID]bool{}
	for _, j := range jobs {
		known[j.UID] = true
		at, how := activeAt(cj, j.UID), finished(j)
		switch {
		case how == "" && at < 0:
			if err := c.unexpected(ctx, cj, j); err != nil {
				return err
			}
		case how != "" && at >= 0:
			cj.Status.Active = slices.Delete(cj.Status.Active, at, at+1)
			c.Recorder.Eventf(cj, v1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %v", j.Name, how)
		}
		if end := j.Status.CompletionTime; how == batch.JobComplete && end != nil &&
			(cj.Status.LastSuccessfulTime == nil || cj.Status.LastSuccessfulTime.Before(end)) {
			cj.Status.LastSuccessfulTime = end
		}
	}
	for _, r := range slices.Clone(cj.Status.Active) {
		if known[r.UID] {
			continue
		}
		// The cache may not show a new job yet.
		j, err := c.Client.BatchV1().Jobs(cj.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
		switch {
		case err == nil && j.UID == r.UID:
		case err == nil || apierrors.IsNotFound(err):
			c.Recorder.Eventf(cj, v1.EventTypeNormal, "MissingJob", "Active job went missing: %v", r.Name)
			cj.Status.Active = slices.Delete(cj.Status.Active, activeAt(cj, r.UID), activeAt(cj, r.UID)+1)
		default:
			return fmt.Errorf("read job %s: %w", r.Name, err)
		}
	}
	return nil
}

// unexpected handles an active Job that is not in the list: the cache shows an old list, or
// another client created the Job.
func (c *Controller) unexpected(ctx context.Context, cj *batch.CronJob, j *batch.Job) error {
	live, err := c.Client.BatchV1().CronJobs(cj.Namespace).Get(ctx, cj.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read cron job: %w", err)
	}
	if activeAt(live, j.UID) >= 0 {
		cj.Status, cj.ResourceVersion = *live.Status.DeepCopy(), live.ResourceVersion
		return nil
	}
	if ours(cj, j) {
		return nil // created just before a crash: schedule finds it by its name
	}
	c.Recorder.Eventf(cj, v1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
	return nil
}

// ours reports whether a Job is of a scheduled time after the last one in the status.
func ours(cj *batch.CronJob, j *batch.Job) bool {
	at, err := time.Parse(time.RFC3339, j.Annotations[batch.CronJobScheduledTimestampAnnotation])
	return err == nil && (cj.Status.LastScheduleTime == nil || at.After(cj.Status.LastScheduleTime.Time))
}

// schedule creates a Job if one is due, and returns how long it is to the next.
func (c *Controller) schedule(ctx context.Context, cj *batch.CronJob, jobs []*batch.Job) (time.Duration, error) {
	warn := func(reason, format string, args ...any) {
		c.Recorder.Eventf(cj, v1.EventTypeWarning, reason, format, args...)
	}
	if zone := cj.Spec.TimeZone; zone != nil {
		if _, err := time.LoadLocation(*zone); err != nil {
			warn("UnknownTimeZone", "invalid timeZone: %q: %s", *zone, err)
			return 0, nil
		}
	}
	if cj.Spec.Suspend != nil && *cj.Spec.Suspend {
		return 0, nil
	}
	if namesZone(cj) {
		warn("UnsupportedSchedule", "CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", cj.Spec.Schedule)
	}
	schedule, err := parse(cj)
	if err != nil {
		warn("UnparseableSchedule", "unparseable schedule: %q : %s", cj.Spec.Schedule, err)
		return 0, nil
	}
	now := c.now()
	_, s, err := startsBy(cj, schedule, now, true)
	if err != nil {
		warn("InvalidSchedule", "invalid schedule: %s : %s", cj.Spec.Schedule, err)
		return 0, nil
	}
	if s.missed > manyMissed {
		warn("TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if s.due == nil {
		return untilNext(cj, schedule, now), nil
	}
	if limit := cj.Spec.StartingDeadlineSeconds; limit != nil && s.due.Add(time.Duration(*limit)*time.Second).Before(now) {
		warn("MissSchedule", "Missed scheduled time to start a job: %s", s.due.UTC().Format(time.RFC1123Z))
		return untilNext(cj, schedule, now), nil
	}
	err = c.start(ctx, cj, jobs, *s.due, schedule)
	return untilNext(cj, schedule, now), err
}

// start creates the Job of a scheduled time, subject to the concurrency policy.
func (c *Controller) start(ctx context.Context, cj *batch.CronJob, jobs []*batch.Job, at time.Time, schedule cron.Schedule) error {
	name := jobName(cj, at, schedule)
	if slices.ContainsFunc(cj.Status.Active, func(r v1.ObjectReference) bool { return r.Name == name }) {
		return nil
	}
	if i := slices.IndexFunc(jobs, func(j *batch.Job) bool { return j.Name == name }); i >= 0 {
		c.recordStart(cj, jobs[i], at)
		return nil
	}
	switch {
	case cj.Spec.ConcurrencyPolicy == batch.ForbidConcurrent && len(cj.Status.Active) > 0:
		c.Recorder.Eventf(cj, v1.EventTypeNormal, "JobAlreadyActive",
			"Not starting job because prior execution is running and concurrency policy is Forbid")
		return nil
	case cj.Spec.ConcurrencyPolicy == batch.ReplaceConcurrent:
		for _, r := range slices.Clone(cj.Status.Active) {
			if err := c.delete(ctx, cj, r.Name, r.UID); err != nil {
				return err
			}
		}
	}
	made, err := c.Client.BatchV1().Jobs(cj.Namespace).Create(ctx, jobFor(cj, name, at), metav1.CreateOptions{})
	switch {
	case apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause):
		return nil
	case apierrors.IsAlreadyExists(err):
		if made, err = c.Client.BatchV1().Jobs(cj.Namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("read job: %w", err)
		}
		if !metav1.IsControlledBy(made, cj) {
			err = fmt.Errorf("job %s exists already, and is not controlled by this cron job", name)
			c.Recorder.Eventf(cj, v1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
			return err
		}
	case err != nil:
		c.Recorder.Eventf(cj, v1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		return fmt.Errorf("create job: %w", err)
	default:
		c.Recorder.Eventf(cj, v1.EventTypeNormal, "SuccessfulCreate", "Created job %v", name)
	}
	c.recordStart(cj, made, at)
	return nil
}

// recordStart adds a start to the status.
func (c *Controller) recordStart(cj *batch.CronJob, j *batch.Job, at time.Time) {
	if finished(j) == "" && activeAt(cj, j.UID) < 0 {
		cj.Status.Active = append(cj.Status.Active, reference(j))
	}
	cj.Status.LastScheduleTime = &metav1.Time{Time: at}
}

// delete deletes a Job, and removes it from the list of active ones.
func (c *Controller) delete(ctx context.Context, cj *batch.CronJob, name string, uid types.UID) error {
	background := metav1.DeletePropagationBackground
	err := c.Client.BatchV1().Jobs(cj.Namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &uid},
	})
	if err != nil && !apierrors.IsNotFound(err) {
		c.Recorder.Eventf(cj, v1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		return fmt.Errorf("delete job %s: %w", name, err)
	}
	if at := activeAt(cj, uid); at >= 0 {
		cj.Status.Active = slices.Delete(cj.Status.Active, at, at+1)
	}
	if err == nil {
		c.Recorder.Eventf(cj, v1.EventTypeNormal, "SuccessfulDelete", "Deleted job %v", name)
	}
	return nil
}
