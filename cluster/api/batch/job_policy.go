package batch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// Limits of a job's policies.
const (
	maxPolicyRules      = 20
	maxPolicyExitCodes  = 255
	maxPolicyConditions = 20
	maxPolicyIndexes    = 64 * 1024 // characters
)

var (
	failureActions = []batchv1.PodFailurePolicyAction{
		batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore,
	}
	exitCodeOperators = []batchv1.PodFailurePolicyOnExitCodesOperator{
		batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn,
	}
	conditionStatuses = []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
)

// requiredOneOf is rules.RequiredOneOf for fields whose error lists the values even if the field is empty.
func requiredOneOf[T ~string](v T, p *field.Path, supported ...T) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, fmt.Sprintf("valid values: %q", supported))}
	}
	return rules.OneOf(v, p, supported...)
}

// validatePodFailurePolicy validates rules, each of which selects pods by exit codes or by conditions.
func validatePodFailurePolicy(s *batchv1.JobSpec, rules *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n := len(s.PodFailurePolicy.Rules); n > maxPolicyRules {
		errs = append(errs, field.TooMany(rules, n, maxPolicyRules))
	}
	for i := range s.PodFailurePolicy.Rules {
		r, p := &s.PodFailurePolicy.Rules[i], rules.Index(i)
		if r.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Invalid(p.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
		} else {
			errs = append(errs, requiredOneOf(r.Action, p.Child("action"), failureActions...)...)
		}
		if r.OnExitCodes != nil {
			errs = append(errs, validateExitCodes(r.OnExitCodes, &s.Template.Spec, p.Child("onExitCodes"))...)
		}
		errs = append(errs, validatePodConditionPatterns(r.OnPodConditions, p.Child("onPodConditions"))...)
		switch conditions := len(r.OnPodConditions) > 0; {
		case r.OnExitCodes != nil && conditions:
			errs = append(errs, field.Invalid(p, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
		case r.OnExitCodes == nil && !conditions:
			errs = append(errs, field.Invalid(p, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
		}
	}
	return errs
}

func validatePodConditionPatterns(patterns []batchv1.PodFailurePolicyOnPodConditionsPattern, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(patterns) > maxPolicyConditions {
		errs = append(errs, field.TooMany(p, len(patterns), maxPolicyConditions))
	}
	for i, c := range patterns {
		errs = append(errs, rules.Invalid(p.Index(i).Child("type"), string(c.Type), validation.IsQualifiedName(string(c.Type)))...)
		errs = append(errs, requiredOneOf(c.Status, p.Index(i).Child("status"), conditionStatuses...)...)
	}
	return errs
}

func validateExitCodes(r *batchv1.PodFailurePolicyOnExitCodesRequirement, pod *corev1.PodSpec, p *field.Path) field.ErrorList {
	errs := requiredOneOf(r.Operator, p.Child("operator"), exitCodeOperators...)
	if n := r.ContainerName; n != nil && !hasContainer(pod, *n) {
		errs = append(errs, field.Invalid(p.Child("containerName"), *n, "must be one of the container or initContainer names in the pod template"))
	}
	values := p.Child("values")
	if len(r.Values) == 0 {
		errs = append(errs, field.Invalid(values, r.Values, "at least one value is required"))
	} else if len(r.Values) > maxPolicyExitCodes {
		errs = append(errs, field.TooMany(values, len(r.Values), maxPolicyExitCodes))
	}
	for i, code := range r.Values {
		if code == 0 && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			errs = append(errs, field.Invalid(values.Index(i), code, "must not be 0 for the In operator"))
		}
		if slices.Contains(r.Values[:i], code) {
			errs = append(errs, field.Duplicate(values.Index(i), code))
		}
	}
	if !slices.IsSorted(r.Values) {
		errs = append(errs, field.Invalid(values, r.Values, "must be ordered"))
	}
	return errs
}

func hasContainer(pod *corev1.PodSpec, name string) bool {
	named := func(c corev1.Container) bool { return c.Name == name }
	return slices.ContainsFunc(pod.Containers, named) || slices.ContainsFunc(pod.InitContainers, named)
}

// validateSuccessPolicy validates rules, each of which has the indexes or the count that suffice.
func validateSuccessPolicy(s *batchv1.JobSpec, rules *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.SuccessPolicy.Rules) == 0 {
		errs = append(errs, field.Required(rules, "at least one rules must be specified when the successPolicy is specified"))
	}
	if n := len(s.SuccessPolicy.Rules); n > maxPolicyRules {
		errs = append(errs, field.TooMany(rules, n, maxPolicyRules))
	}
	all := int32(0)
	if s.Completions != nil {
		all = *s.Completions
	}
	for i, r := range s.SuccessPolicy.Rules {
		errs = append(errs, validateSuccessRule(&r, all, rules.Index(i))...)
	}
	return errs
}

func validateSuccessRule(r *batchv1.SuccessPolicyRule, all int32, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		errs = append(errs, field.Required(p, "at least one of succeededCount or succeededIndexes must be specified"))
	}
	named := int32(0)
	if list := r.SucceededIndexes; list != nil {
		at := p.Child("succeededIndexes")
		if len(*list) > maxPolicyIndexes {
			errs = append(errs, field.TooLong(at, *list, maxPolicyIndexes))
		}
		ranges, err := parseIndexes(*list, all)
		if err != nil {
			errs = append(errs, field.Invalid(at, *list, "error parsing succeededIndexes: "+err.Error()))
		}
		for _, r := range ranges {
			named += r[1] - r[0] + 1
		}
	}
	if n := r.SucceededCount; n != nil {
		at := p.Child("succeededCount")
		errs = append(errs, rules.NonNegative(int64(*n), at)...)
		if *n > all {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", all)))
		}
		if r.SucceededIndexes != nil && *n > named {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", named)))
		}
	}
	return errs
}

// parseIndexes parses intervals such as "0-2,5", which must be increasing and below all.
func parseIndexes(list string, all int32) ([][2]int32, error) {
	if list == "" {
		return nil, nil
	}
	var out [][2]int32
	for part := range strings.SplitSeq(list, ",") {
		r, err := parseIndexRange(part, all)
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 && out[n-1][1] >= r[0] {
			return nil, notIncreasing(out[n-1][1], r[0])
		}
		out = append(out, r)
	}
	return out, nil
}

func notIncreasing(before, after int32) error {
	return fmt.Errorf("non-increasing order, previous: %d, current: %d", before, after)
}

func parseIndexRange(part string, all int32) ([2]int32, error) {
	ends := strings.Split(part, "-")
	if len(ends) > 2 {
		return [2]int32{}, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", part)
	}
	first, err := parseIndex(ends[0], all)
	if err != nil || len(ends) == 1 {
		return [2]int32{first, first}, err
	}
	last, err := parseIndex(ends[1], all)
	if err == nil && first >= last {
		err = notIncreasing(first, last)
	}
	return [2]int32{first, last}, err
}

func parseIndex(s string, all int32) (int32, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", s)
	}
	if n >= int(all) {
		return 0, fmt.Errorf("too large index: %q", s)
	}
	return int32(n), nil
}

// overlappingIndex returns an error with the first index that is in both lists.
func overlappingIndex(completed, failed string, all int32) error {
	a, errA := parseIndexes(completed, all)
	b, errB := parseIndexes(failed, all)
	if errors.Join(errA, errB) != nil {
		return nil //nolint:nilerr // its syntax is validated elsewhere
	}
	for i, k := 0, 0; i < len(a) && k < len(b); {
		if a[i][0] <= b[k][1] && b[k][0] <= a[i][1] {
			return fmt.Errorf("failedIndexes and completedIndexes overlap at index: %d", max(a[i][0], b[k][0]))
		}
		if a[i][0] <= b[k][0] {
			i++
		} else {
			k++
		}
	}
	return nil
}
