package batch

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// CronJobs is the kind CronJob: it creates Jobs on a schedule.
var CronJobs = rules.SpecAndStatus(api.Of[batchv1.CronJob, batchv1.CronJobList](&api.Kind{
	GroupVersionKind: api.GVK(batchv1.GroupName, "v1", "CronJob"),
	Plural:           "cronjobs", Singular: "cronjob",
	Short: []string{"cj"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Versions:  []api.Version{CronJobsV1beta1, cronJobsV2alpha1},

	Default: rules.Mutate(func(c *batchv1.CronJob) {
		rules.SetDefault(&c.Spec.ConcurrencyPolicy, batchv1.AllowConcurrent)
		rules.SetDefaultPtr(&c.Spec.Suspend, false)
		rules.SetDefaultPtr(&c.Spec.SuccessfulJobsHistoryLimit, 3)
		rules.SetDefaultPtr(&c.Spec.FailedJobsHistoryLimit, 1)
		// The other defaults of a Job are set when it is created.
		podrules.DefaultPodSpec(&c.Spec.JobTemplate.Spec.Template.Spec)
		defaultPodFailurePolicy(c.Spec.JobTemplate.Spec.PodFailurePolicy)
	}),

	Validate:       rules.Typed(validateCronJob),
	ValidateUpdate: rules.TypedUpdate(validateCronJobUpdate),
	ValidateStatus: rules.TypedUpdate(func(c, old *batchv1.CronJob) field.ErrorList {
		return rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	}),

	Warn: rules.Typed(cronJobWarnings),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Schedule", "string", 0, rules.Doc(batchv1.CronJobSpec{}, "schedule")),
		rules.Column("Timezone", "string", 0, rules.Doc(batchv1.CronJobSpec{}, "timeZone")),
		rules.Column("Suspend", "boolean", 0, rules.Doc(batchv1.CronJobSpec{}, "suspend")),
		rules.Column("Active", "integer", 0, rules.Doc(batchv1.CronJobStatus{}, "active")),
		rules.Column("Last Schedule", "string", 0, rules.Doc(batchv1.CronJobStatus{}, "lastScheduleTime")),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(batchv1.JobSpec{}, "selector"))...),
	Row: rules.Typed(func(c *batchv1.CronJob) []any {
		last, zone, suspend := "<none>", "<none>", "<unset>"
		if c.Status.LastScheduleTime != nil {
			last = rules.Age(*c.Status.LastScheduleTime)
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
		names, images := podrules.ContainerCells(job.Template.Spec.Containers)
		return []any{
			c.Name, c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, rules.Age(c.CreationTimestamp),
			names, images, metav1.FormatLabelSelector(job.Selector),
		}
	}),
}), func(o *batchv1.CronJob) (*batchv1.CronJobSpec, *batchv1.CronJobStatus) { return &o.Spec, &o.Status })
