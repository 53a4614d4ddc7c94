// Package batch has the kinds of the group batch: Job and CronJob, one file each, and their retired versions.
package batch

import (
	"math"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// Jobs is the kind Job: it runs pods until enough of them have succeeded.
var Jobs = rules.SpecAndStatus(api.Of[batchv1.Job, batchv1.JobList](&api.Kind{
	GroupVersionKind: api.GVK(batchv1.GroupName, "v1", "Job"),
	Plural:           "jobs", Singular: "job", Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,

	Default: rules.Mutate(defaultJob),
	PrepareCreate: rules.Mutate(func(j *batchv1.Job) {
		defaultJob(j)
		generateSelector(j)
		j.Status = batchv1.JobStatus{}
		j.Generation = 1
	}),

	Validate:       rules.Typed(validateJob),
	ValidateUpdate: rules.TypedUpdate(validateJobUpdate),
	ValidateStatus: rules.TypedUpdate(validateJobStatus),

	Warn: rules.Typed(jobWarnings),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Status", "string", 0, "Status of the job."),
		rules.Column("Completions", "string", 0, rules.Doc(batchv1.JobStatus{}, "succeeded")),
		rules.Column("Duration", "string", 0, "Time required to complete the job."),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(batchv1.JobSpec{}, "selector"))...),
	Row: rules.Typed(jobRow),
	Fields: rules.Typed(func(j *batchv1.Job) fields.Set {
		return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
	}),
}), func(o *batchv1.Job) (*batchv1.JobSpec, *batchv1.JobStatus) { return &o.Spec, &o.Status })

func defaultJob(j *batchv1.Job) {
	s := &j.Spec
	podrules.DefaultPodSpec(&s.Template.Spec)
	// Without both one pod must succeed. With parallelism alone the pods process a work queue.
	if s.Completions == nil && s.Parallelism == nil {
		rules.SetDefaultPtr(&s.Completions, 1)
	}
	rules.SetDefaultPtr(&s.Parallelism, 1)
	limit := int32(6)
	if s.BackoffLimitPerIndex != nil {
		limit = math.MaxInt32
	}
	rules.SetDefaultPtr(&s.BackoffLimit, limit)
	if len(j.Labels) == 0 && len(s.Template.Labels) > 0 {
		j.Labels = s.Template.Labels // the same map, as upstream: what generateSelector adds is in both
	}
	rules.SetDefaultPtr(&s.CompletionMode, batchv1.NonIndexedCompletion)
	rules.SetDefaultPtr(&s.Suspend, false)
	rules.SetDefaultPtr(&s.ManualSelector, false)
	replacement := batchv1.TerminatingOrFailed
	if s.PodFailurePolicy != nil {
		replacement = batchv1.Failed
	}
	rules.SetDefaultPtr(&s.PodReplacementPolicy, replacement)
	defaultPodFailurePolicy(s.PodFailurePolicy)
}

func defaultPodFailurePolicy(p *batchv1.PodFailurePolicy) {
	if p == nil {
		return
	}
	for i := range p.Rules {
		for k := range p.Rules[i].OnPodConditions {
			rules.SetDefault(&p.Rules[i].OnPodConditions[k].Status, corev1.ConditionTrue)
		}
	}
}

// The labels of a job's pods before 1.27, which had no prefix.
const (
	legacyJobNameLabel       = "job-name"
	legacyControllerUIDLabel = "controller-uid"
)

// generateSelector sets a unique selector and the template's labels for it, unless manualSelector is true.
func generateSelector(j *batchv1.Job) {
	if ptr.Deref(j.Spec.ManualSelector, false) {
		return
	}
	t := &j.Spec.Template
	if t.Labels == nil {
		t.Labels = map[string]string{}
	}
	// Validation rejects labels of other values.
	for label, v := range map[string]string{
		batchv1.JobNameLabel: j.Name, legacyJobNameLabel: j.Name,
		batchv1.ControllerUidLabel: string(j.UID), legacyControllerUIDLabel: string(j.UID),
	} {
		if _, has := t.Labels[label]; !has {
			t.Labels[label] = v
		}
	}
	if j.Spec.Selector == nil {
		j.Spec.Selector = &metav1.LabelSelector{}
	}
	if j.Spec.Selector.MatchLabels == nil {
		j.Spec.Selector.MatchLabels = map[string]string{}
	}
	if _, has := j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel]; !has {
		j.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] = string(j.UID)
	}
}
