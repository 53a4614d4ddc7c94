package batch

import (
	"regexp"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

// maxCronJobName leaves eleven characters for the suffix of the jobs' names.
const maxCronJobName = 52

func validateCronJob(c *batchv1.CronJob) field.ErrorList {
	errs := append(rules.ValidateObjectMeta(&c.ObjectMeta, true, rules.DNSSubdomain), validateCronJobSpec(&c.Spec, nil)...)
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(rules.MetadataPath.Child("name"), c.Name, "must be no more than 52 characters"))
	}
	return errs
}

func validateCronJobUpdate(c, old *batchv1.CronJob) field.ErrorList {
	return append(rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta), validateCronJobSpec(&c.Spec, &old.Spec)...)
}

// validateCronJobSpec validates a spec. old is nil for a new object; its unchanged fields stay valid.
func validateCronJobSpec(s, old *batchv1.CronJobSpec) field.ErrorList {
	var errs field.ErrorList
	if s.Schedule == "" {
		errs = append(errs, field.Required(rules.SpecPath.Child("schedule"), ""))
	} else {
		errs = append(errs, validateSchedule(s, old != nil && strings.Contains(old.Schedule, "TZ"))...)
	}
	if d := s.StartingDeadlineSeconds; d != nil {
		errs = append(errs, rules.NonNegative(*d, rules.SpecPath.Child("startingDeadlineSeconds"))...)
	}
	if s.TimeZone != nil && (old == nil || !rules.Equal(s.TimeZone, old.TimeZone)) {
		errs = append(errs, validateTimeZone(*s.TimeZone, rules.SpecPath.Child("timeZone"))...)
	}
	errs = append(errs, rules.RequiredOneOf(s.ConcurrencyPolicy, rules.SpecPath.Child("concurrencyPolicy"),
		batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent)...)

	job, p := &s.JobTemplate.Spec, rules.SpecPath.Child("jobTemplate", "spec")
	errs = append(errs, validateJobSpec(job, p)...)
	if job.Selector != nil {
		errs = append(errs, field.Invalid(p.Child("selector"), job.Selector, "`selector` will be auto-generated"))
	}
	if ptr.Deref(job.ManualSelector, false) {
		errs = append(errs, field.NotSupported(p.Child("manualSelector"), *job.ManualSelector, []string{"nil", "false"}))
	}
	errs = append(errs, rules.NonNegativePtr(s.SuccessfulJobsHistoryLimit, rules.SpecPath.Child("successfulJobsHistoryLimit"))...)
	return append(errs, rules.NonNegativePtr(s.FailedJobsHistoryLimit, rules.SpecPath.Child("failedJobsHistoryLimit"))...)
}

func validateSchedule(s *batchv1.CronJobSpec, allowTZ bool) field.ErrorList {
	var errs field.ErrorList
	p, hasTZ := rules.SpecPath.Child("schedule"), strings.Contains(s.Schedule, "TZ")
	// The parser panics on a time zone without a schedule.
	if !hasTZ || strings.Contains(s.Schedule, " ") {
		if _, err := cron.ParseStandard(s.Schedule); err != nil {
			errs = append(errs, field.Invalid(p, s.Schedule, err.Error()))
		}
	}
	switch {
	case !hasTZ:
	case !allowTZ:
		errs = append(errs, field.Invalid(p, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	case s.TimeZone != nil:
		errs = append(errs, field.Invalid(p, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

// zoneSegment matches a segment of a time zone's name.
var zoneSegment = regexp.MustCompile(`^[A-Za-z._0-9+][A-Za-z._0-9+-]{0,13}$`)

func validateTimeZone(zone string, p *field.Path) field.ErrorList {
	if zone == "" {
		return field.ErrorList{field.Invalid(p, zone, "timeZone must be nil or non-empty string")}
	}
	for part := range strings.SplitSeq(zone, "/") {
		if part == "." || part == ".." || !zoneSegment.MatchString(part) {
			return field.ErrorList{field.Invalid(p, zone, "unknown time zone "+zone)}
		}
	}
	var errs field.ErrorList
	if strings.EqualFold(zone, "Local") {
		errs = append(errs, field.Invalid(p, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(zone); err != nil {
		errs = append(errs, field.Invalid(p, zone, err.Error()))
	}
	return errs
}
