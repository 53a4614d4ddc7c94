package batch

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func jobWarnings(j *batchv1.Job) []string {
	var w podrules.Warnings
	w.Name(j.Name, podrules.PodNames)
	addJobSpecWarnings(&w, &j.Spec, rules.SpecPath)
	return w
}

func addJobSpecWarnings(w *podrules.Warnings, s *batchv1.JobSpec, p *field.Path) {
	if s.Completions != nil && *s.Completions > completionsSoftLimit && s.Parallelism != nil && *s.Parallelism > limitForHighCompletions && isIndexed(s) {
		w.Add(p, "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "+
			"Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	w.Template(&s.Template, p.Child("template"))
}

func cronJobWarnings(c *batchv1.CronJob) []string {
	var w podrules.Warnings
	w.Name(c.Name, podrules.PodNames)
	addJobSpecWarnings(&w, &c.Spec.JobTemplate.Spec, rules.SpecPath.Child("jobTemplate", "spec"))
	if strings.Contains(c.Spec.Schedule, "TZ") {
		w = append(w, fmt.Sprintf("CRON_TZ or TZ used in %s is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
			rules.SpecPath.Child("schedule")))
	}
	return w
}
