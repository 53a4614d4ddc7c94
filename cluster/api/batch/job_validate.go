package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// Limits of an Indexed Job, whose status lists indexes.
const (
	completionsSoftLimit    = 100_000
	limitForHighCompletions = 10_000 // when completions are above completionsSoftLimit
	maxManagedBy            = 63
)

func validateJob(j *batchv1.Job) field.ErrorList {
	errs := append(rules.ValidateObjectMeta(&j.ObjectMeta, true, rules.DNSSubdomain), validateGeneratedSelector(j)...)
	errs = append(errs, validateJobSpec(&j.Spec, rules.SpecPath)...)
	errs = append(errs, validateJobSelector(&j.Spec)...)
	if n := j.Spec.Completions; isIndexed(&j.Spec) && n != nil && *n > 0 {
		// The pods' hostnames end in their indexes.
		if last := fmt.Sprintf("%s-%d", j.Name, *n-1); len(validation.IsDNS1123Label(last)) > 0 {
			errs = append(errs, field.Invalid(rules.MetadataPath.Child("name"), j.Name, "will not able to create pod with invalid DNS label: "+last))
		}
	}
	return errs
}

func isIndexed(s *batchv1.JobSpec) bool {
	return s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion
}

// validateGeneratedSelector validates the labels and selector of generateSelector, unless manualSelector is
// true.
func validateGeneratedSelector(j *batchv1.Job) field.ErrorList {
	if ptr.Deref(j.Spec.ManualSelector, false) || j.Spec.Selector == nil {
		return nil
	}
	var errs field.ErrorList
	errs = append(errs, rules.Required(j.UID, rules.MetadataPath.Child("uid"))...)
	generated := labels.Set{
		legacyControllerUIDLabel: string(j.UID), legacyJobNameLabel: j.Name,
		batchv1.ControllerUidLabel: string(j.UID), batchv1.JobNameLabel: j.Name,
	}
	for _, label := range []string{legacyControllerUIDLabel, legacyJobNameLabel, batchv1.ControllerUidLabel, batchv1.JobNameLabel} {
		p := rules.SpecPath.Child("template", "metadata", "labels").Key(label)
		must := fmt.Sprintf("must be '%s'", generated[label])
		if v, has := j.Spec.Template.Labels[label]; !has {
			errs = append(errs, field.Required(p, must))
		} else if v != generated[label] {
			errs = append(errs, field.Invalid(p, j.Spec.Template.Labels, must))
		}
	}
	if selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !selector.Matches(generated) {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

func validateJobSelector(s *batchv1.JobSpec) field.ErrorList {
	p := rules.SpecPath.Child("selector")
	if s.Selector == nil {
		return field.ErrorList{
			field.Required(p, ""),
			field.Invalid(rules.SpecPath.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"),
		}
	}
	errs := podrules.ValidateLabelSelector(s.Selector, p)
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil {
		errs = append(errs, podrules.ValidateSelectorMatchesTemplate(selector, &s.Template, rules.SpecPath.Child("template"))...)
	}
	return errs
}

// validateJobSpec validates the spec of a Job or of a CronJob's template.
func validateJobSpec(s *batchv1.JobSpec, p *field.Path) field.ErrorList {
	errs := rules.NonNegativePtr(s.Parallelism, p.Child("parallelism"))
	errs = append(errs, rules.NonNegativePtr(s.Completions, p.Child("completions"))...)
	if d := s.ActiveDeadlineSeconds; d != nil {
		errs = append(errs, rules.NonNegative(*d, p.Child("activeDeadlineSeconds"))...)
	}
	errs = append(errs, rules.NonNegativePtr(s.BackoffLimit, p.Child("backoffLimit"))...)
	errs = append(errs, rules.NonNegativePtr(s.TTLSecondsAfterFinished, p.Child("ttlSecondsAfterFinished"))...)
	errs = append(errs, rules.NonNegativePtr(s.BackoffLimitPerIndex, p.Child("backoffLimitPerIndex"))...)
	errs = append(errs, rules.NonNegativePtr(s.MaxFailedIndexes, p.Child("maxFailedIndexes"))...)
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		errs = append(errs, field.Required(p.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
	}
	if m := s.ManagedBy; m != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(p.Child("managedBy"), *m)...)
		if len(*m) > maxManagedBy {
			errs = append(errs, field.TooLong(p.Child("managedBy"), *m, maxManagedBy))
		}
	}
	errs = append(errs, validateCompletionMode(s, p)...)
	if s.PodFailurePolicy != nil {
		errs = append(errs, validatePodFailurePolicy(s, p.Child("podFailurePolicy", "rules"))...)
	}
	if s.SuccessPolicy != nil {
		if isIndexed(s) {
			errs = append(errs, validateSuccessPolicy(s, p.Child("successPolicy", "rules"))...)
		} else {
			errs = append(errs, field.Invalid(p.Child("successPolicy"), *s.SuccessPolicy, "requires indexed completion mode"))
		}
	}
	errs = append(errs, validatePodReplacementPolicy(s, p.Child("podReplacementPolicy"))...)
	errs = append(errs, podrules.ValidatePodTemplateSpec(&s.Template, p.Child("template"))...)
	return append(errs, validateJobRestartPolicy(s, p.Child("template", "spec", "restartPolicy"))...)
}

func validateCompletionMode(s *batchv1.JobSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m := s.CompletionMode; m != nil {
		errs = append(errs, rules.OneOf(*m, p.Child("completionMode"), batchv1.NonIndexedCompletion, batchv1.IndexedCompletion)...)
		if *m == batchv1.IndexedCompletion {
			return append(errs, validateIndexedJob(s, p)...)
		}
		if *m != batchv1.NonIndexedCompletion {
			return errs
		}
	}
	const indexed = "requires indexed completion mode"
	if n := s.BackoffLimitPerIndex; n != nil {
		errs = append(errs, field.Invalid(p.Child("backoffLimitPerIndex"), *n, indexed))
	}
	if n := s.MaxFailedIndexes; n != nil {
		errs = append(errs, field.Invalid(p.Child("maxFailedIndexes"), *n, indexed))
	}
	return errs
}

func validateIndexedJob(s *batchv1.JobSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Completions == nil {
		errs = append(errs, field.Required(p.Child("completions"), "when completion mode is Indexed"))
	}
	parallel, failed := p.Child("parallelism"), p.Child("maxFailedIndexes")
	if n := s.Parallelism; n != nil && *n > completionsSoftLimit {
		errs = append(errs, field.Invalid(parallel, *n, fmt.Sprintf("must be less than or equal to %d when completion mode is Indexed", completionsSoftLimit)))
	}
	if n := s.MaxFailedIndexes; n != nil {
		if s.Completions != nil && *n > *s.Completions {
			errs = append(errs, field.Invalid(failed, *n, "must be less than or equal to completions"))
		}
		if *n > completionsSoftLimit {
			errs = append(errs, field.Invalid(failed, *n, fmt.Sprintf("must be less than or equal to %d", completionsSoftLimit)))
		}
	}
	if s.Completions == nil || *s.Completions <= completionsSoftLimit || s.BackoffLimitPerIndex == nil {
		return errs
	}
	many := fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", limitForHighCompletions, completionsSoftLimit)
	if s.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(failed, fmt.Sprintf("must be specified when completions is above %d", completionsSoftLimit)))
	}
	if n := s.Parallelism; n != nil && *n > limitForHighCompletions {
		errs = append(errs, field.Invalid(parallel, *n, many))
	}
	if n := s.MaxFailedIndexes; n != nil && *n > limitForHighCompletions {
		errs = append(errs, field.Invalid(failed, *n, many))
	}
	return errs
}

func validatePodReplacementPolicy(s *batchv1.JobSpec, p *field.Path) field.ErrorList {
	switch {
	case s.PodReplacementPolicy == nil:
		return nil
	case s.PodFailurePolicy != nil:
		return rules.OneOf(*s.PodReplacementPolicy, p, batchv1.Failed)
	}
	return rules.OneOf(*s.PodReplacementPolicy, p, batchv1.Failed, batchv1.TerminatingOrFailed)
}

// validateJobRestartPolicy validates the restart policy of pods that must complete. The default, Always, counts
// as not set.
func validateJobRestartPolicy(s *batchv1.JobSpec, p *field.Path) field.ErrorList {
	switch policy := s.Template.Spec.RestartPolicy; {
	case policy == corev1.RestartPolicyAlways || policy == "":
		return field.ErrorList{field.Required(p, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))}
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		return rules.OneOf(policy, p, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	case s.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever:
		return field.ErrorList{field.Invalid(p, policy, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))}
	}
	return nil
}

// validateJobUpdate validates an update. The template is immutable, except for scheduling directives and
// resources while the job is suspended and has no active pods.
func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	errs := append(validateJob(j), rules.ValidateObjectMetaUpdate(&j.ObjectMeta, &old.ObjectMeta)...)
	errs = append(errs, validateJobSpec(&j.Spec, rules.SpecPath)...) // again, as upstream
	errs = append(errs, validateJobSelector(&j.Spec)...)
	s, o := &j.Spec, &old.Spec
	errs = append(errs, validateCompletionsUpdate(s, o)...)
	errs = append(errs, rules.Immutable(s.Selector, o.Selector, rules.SpecPath.Child("selector"))...)

	if ptr.Deref(o.Suspend, false) && old.Status.Active == 0 && (old.Status.StartTime == nil || isConditionTrue(old, batchv1.JobSuspended)) {
		before := withSchedulingDirectives(&o.Template, &s.Template)
		copyResources(before.Spec.Containers, s.Template.Spec.Containers)
		copyResources(before.Spec.InitContainers, s.Template.Spec.InitContainers)
		errs = append(errs, rules.Immutable(s.Template.Spec, before.Spec, rules.SpecPath.Child("template", "spec"))...)
	} else {
		errs = append(errs, rules.Immutable(&s.Template, &o.Template, rules.SpecPath.Child("template"))...)
	}
	errs = append(errs, rules.Immutable(s.CompletionMode, o.CompletionMode, rules.SpecPath.Child("completionMode"))...)
	errs = append(errs, rules.Immutable(s.PodFailurePolicy, o.PodFailurePolicy, rules.SpecPath.Child("podFailurePolicy"))...)
	errs = append(errs, rules.Immutable(s.BackoffLimitPerIndex, o.BackoffLimitPerIndex, rules.SpecPath.Child("backoffLimitPerIndex"))...)
	errs = append(errs, rules.Immutable(s.ManagedBy, o.ManagedBy, rules.SpecPath.Child("managedBy"))...)
	return append(errs, rules.Immutable(s.SuccessPolicy, o.SuccessPolicy, rules.SpecPath.Child("successPolicy"))...)
}

// validateCompletionsUpdate validates completions, which an Indexed Job can change together with parallelism.
func validateCompletionsUpdate(s, o *batchv1.JobSpec) field.ErrorList {
	p := rules.SpecPath.Child("completions")
	switch {
	case !isIndexed(s):
		return rules.Immutable(s.Completions, o.Completions, p)
	case s.Completions == nil || rules.Equal(s.Completions, o.Completions):
		return nil
	case s.Parallelism == nil || *s.Completions != *s.Parallelism:
		return field.ErrorList{field.Invalid(p, *s.Completions, "can only be modified in tandem with spec.parallelism")}
	}
	return nil
}

// withSchedulingDirectives returns t with the scheduling directives of other.
func withSchedulingDirectives(t, other *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	t = t.DeepCopy()
	was, is := t.Spec.Affinity, other.Spec.Affinity
	switch {
	case is == nil && was != nil:
		was.NodeAffinity = nil
		if *was == (corev1.Affinity{}) {
			t.Spec.Affinity = nil
		}
	case is != nil && was == nil:
		t.Spec.Affinity = &corev1.Affinity{NodeAffinity: is.NodeAffinity}
	case is != nil:
		was.NodeAffinity = is.NodeAffinity
	}
	t.Spec.NodeSelector = other.Spec.NodeSelector
	t.Spec.Tolerations = slices.Clone(other.Spec.Tolerations)
	t.Spec.SchedulingGates = other.Spec.SchedulingGates
	t.Annotations = other.Annotations
	t.Labels = other.Labels
	return t
}

// copyResources copies the resources of containers with the same names.
func copyResources(to, from []corev1.Container) {
	for i := range to {
		if len(to) == len(from) && to[i].Name == from[i].Name {
			to[i].Resources = from[i].Resources
		}
	}
}
