package api

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CronJobs starts a Job at the times of a schedule.
var CronJobs = &Kind{
	GroupVersionKind: gvk(batchv1.GroupName, "v1", "CronJob"),
	Plural:           "cronjobs", Singular: "cronjob",
	Short: []string{"cj"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &batchv1.CronJob{} },
	NewList:   func() runtime.Object { return &batchv1.CronJobList{} },

	Default: do(func(c *batchv1.CronJob) {
		setDefault(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		setDefaultPtr(&c.Spec.Suspend, false)
		setDefaultPtr(&c.Spec.SuccessfulJobsHistoryLimit, 3)
		setDefaultPtr(&c.Spec.FailedJobsHistoryLimit, 1)
		// What a Job has for defaults beyond its pods' is filled in when it is made.
		defaultPodSpec(&c.Spec.JobTemplate.Spec.Template.Spec)
		defaultPodFailurePolicy(c.Spec.JobTemplate.Spec.PodFailurePolicy)
	}),
	PrepareCreate: do(func(c *batchv1.CronJob) {
		c.Status = batchv1.CronJobStatus{}
		c.Generation = 1
	}),
	PrepareUpdate: do2(func(c, old *batchv1.CronJob) {
		c.Status = old.Status
		c.Generation = nextGeneration(old, c.Spec, old.Spec)
	}),
	PrepareStatus: do2(func(c, old *batchv1.CronJob) {
		c.Spec = old.Spec
		c.Generation = old.Generation
	}),

	Validate:       as(checkCronJob),
	ValidateUpdate: as2(checkCronJobUpdate),
	ValidateStatus: as2(func(c, old *batchv1.CronJob) field.ErrorList {
		return checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	}),

	Warn: as(warnOfCronJob),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Schedule", "string", 0, "When it runs, as cron writes it."),
		col("Timezone", "string", 0, "Whose time the schedule is in."),
		col("Suspend", "boolean", 0, "Whether it starts no more jobs."),
		col("Active", "integer", 0, "Jobs that run."),
		col("Last Schedule", "string", 0, "Time since a job was last started."),
		ageColumn,
		containersColumn,
		imagesColumn,
		selectorColumn,
	},
	Row: as(func(c *batchv1.CronJob) []any {
		last, zone, suspend := "<none>", "<none>", "<unset>"
		if c.Status.LastScheduleTime != nil {
			last = age(*c.Status.LastScheduleTime)
		}
		if c.Spec.TimeZone != nil {
			zone = *c.Spec.TimeZone
		}
		if c.Spec.Suspend != nil {
			suspend = "False"
			if *c.Spec.Suspend {
				suspend = "True"
			}
		}
		job := &c.Spec.JobTemplate.Spec
		names, images := containerNames(job.Template.Spec.Containers)
		return []any{
			c.Name, c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, age(c.CreationTimestamp),
			names, images, metav1.FormatLabelSelector(job.Selector),
		}
	}),
}
