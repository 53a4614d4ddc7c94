package podrules

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// maxTerms bounds the requirements, values, terms or tolerations of one selector or list. The scheduler and the
// controllers evaluate them for all nodes and pods. Upstream has no such bound.
const maxTerms = 1000

func validateTermCount(n int, p *field.Path) field.ErrorList {
	if n <= maxTerms {
		return nil
	}
	return field.ErrorList{field.TooMany(p, n, maxTerms)}
}

// selectorSize returns the number of requirements and values of a selector.
func selectorSize(s *metav1.LabelSelector) int {
	n := len(s.MatchLabels) + len(s.MatchExpressions)
	for i := range s.MatchExpressions {
		n += len(s.MatchExpressions[i].Values)
	}
	return n
}

func nodeSelectorTermSize(t *corev1.NodeSelectorTerm) int {
	n := 1 + len(t.MatchExpressions) + len(t.MatchFields)
	for i := range t.MatchExpressions {
		n += len(t.MatchExpressions[i].Values)
	}
	return n
}

func podAffinityTermSize(t *corev1.PodAffinityTerm) int {
	n := 1 + len(t.Namespaces)
	for _, s := range []*metav1.LabelSelector{t.LabelSelector, t.NamespaceSelector} {
		if s != nil {
			n += selectorSize(s)
		}
	}
	return n
}

// affinitySize returns the size of all terms together.
func affinitySize(a *corev1.Affinity) int {
	n := 0
	if of := a.NodeAffinity; of != nil {
		if s := of.RequiredDuringSchedulingIgnoredDuringExecution; s != nil {
			for i := range s.NodeSelectorTerms {
				n += nodeSelectorTermSize(&s.NodeSelectorTerms[i])
			}
		}
		for i := range of.PreferredDuringSchedulingIgnoredDuringExecution {
			n += nodeSelectorTermSize(&of.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
		}
	}
	pods := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range required {
			n += podAffinityTermSize(&required[i])
		}
		for i := range preferred {
			n += podAffinityTermSize(&preferred[i].PodAffinityTerm)
		}
	}
	if of := a.PodAffinity; of != nil {
		pods(of.RequiredDuringSchedulingIgnoredDuringExecution, of.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if of := a.PodAntiAffinity; of != nil {
		pods(of.RequiredDuringSchedulingIgnoredDuringExecution, of.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return n
}

// ValidateTolerations validates the tolerations of a pod.
func ValidateTolerations(tolerations []corev1.Toleration, p *field.Path) field.ErrorList {
	errs := validateTermCount(len(tolerations), p)
	for i := range tolerations {
		t, at := &tolerations[i], p.Index(i)
		if t.Key != "" {
			errs = append(errs, metav1validation.ValidateLabelName(t.Key, at.Child("key"))...)
		} else if t.Operator != corev1.TolerationOpExists {
			errs = append(errs, field.Invalid(at.Child("operator"), t.Operator,
				"operator must be Exists when `key` is empty, which means \"match all values and all keys\""))
		}
		if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
			errs = append(errs, field.Invalid(at.Child("effect"), t.Effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
		}
		switch t.Operator {
		case corev1.TolerationOpEqual, "":
			if bad := validation.IsValidLabelValue(t.Value); len(bad) > 0 {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, strings.Join(bad, ";")))
			}
		case corev1.TolerationOpExists:
			if t.Value != "" {
				errs = append(errs, field.Invalid(at.Child("operator"), t.Value, "value must be empty when `operator` is 'Exists'"))
			}
		case corev1.TolerationOpLt, corev1.TolerationOpGt: // their feature gate is off, and so is upstream's
			errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator,
				[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt}))
		default:
			errs = append(errs, field.NotSupported(at.Child("operator"), t.Operator,
				[]corev1.TolerationOperator{corev1.TolerationOpEqual, corev1.TolerationOpExists}))
		}
		errs = append(errs, ValidateTaintEffect(t.Effect, true, at.Child("effect"))...)
	}
	return errs
}

func validateAffinity(a *corev1.Affinity, p *field.Path) field.ErrorList {
	if errs := validateTermCount(affinitySize(a), p); errs != nil {
		return errs
	}
	var errs field.ErrorList
	if n := a.NodeAffinity; n != nil {
		at := p.Child("nodeAffinity")
		if n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			errs = append(errs, ValidateNodeSelector(n.RequiredDuringSchedulingIgnoredDuringExecution, at.Child("requiredDuringSchedulingIgnoredDuringExecution"))...)
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			t, path := &n.PreferredDuringSchedulingIgnoredDuringExecution[i], at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
			errs = append(errs, validateWeight(t.Weight, path)...)
			errs = append(errs, validateNodeSelectorTerm(&t.Preference, false, path.Child("preference"))...)
		}
	}
	if a.PodAffinity != nil {
		errs = append(errs, validatePodAffinityTerms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, p.Child("podAffinity"))...)
	}
	if a.PodAntiAffinity != nil {
		errs = append(errs, validatePodAffinityTerms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
			a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, p.Child("podAntiAffinity"))...)
	}
	return errs
}

func validateWeight(w int32, p *field.Path) field.ErrorList {
	if w < 1 || w > 100 {
		return field.ErrorList{field.Invalid(p.Child("weight"), w, "must be in the range 1-100")}
	}
	return nil
}

// ValidateNodeSelector validates the required node affinity of a pod or volume.
func ValidateNodeSelector(s *corev1.NodeSelector, p *field.Path) field.ErrorList {
	p = p.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		return field.ErrorList{field.Required(p, "must have at least one node selector term")}
	}
	var errs field.ErrorList
	for i := range s.NodeSelectorTerms {
		errs = append(errs, validateNodeSelectorTerm(&s.NodeSelectorTerms[i], true, p.Index(i))...)
	}
	return errs
}

// validateNodeSelectorTerm validates a term. The values of one that is only preferred may be no label values, as upstream.
func validateNodeSelectorTerm(t *corev1.NodeSelectorTerm, required bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range t.MatchExpressions {
		r, at := &t.MatchExpressions[i], p.Child("matchExpressions").Index(i)
		errs = append(errs, validateNodeSelectorRequirement(r, at)...)
		if !required {
			continue
		}
		for k, v := range r.Values {
			errs = append(errs, rules.Invalid(at.Child("values").Index(k), v, validation.IsValidLabelValue(v))...)
		}
	}
	for i := range t.MatchFields {
		r, at := &t.MatchFields[i], p.Child("matchFields").Index(i)
		switch r.Operator {
		case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
			if len(r.Values) != 1 {
				errs = append(errs, field.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
			}
		default:
			errs = append(errs, field.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator"))
		}
		if r.Key != metav1.ObjectNameField {
			errs = append(errs, field.Invalid(at.Child("key"), r.Key, "not a valid field selector key"))
			continue
		}
		for k, v := range r.Values {
			errs = append(errs, rules.Invalid(at.Child("values").Index(k), v, rules.DNSSubdomain(v, false))...)
		}
	}
	return errs
}

func validateNodeSelectorRequirement(r *corev1.NodeSelectorRequirement, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	values := p.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			errs = append(errs, field.Required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			errs = append(errs, field.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			errs = append(errs, field.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
		}
	default:
		errs = append(errs, field.Invalid(p.Child("operator"), r.Operator, "not a valid selector operator"))
	}
	return append(errs, metav1validation.ValidateLabelName(r.Key, p.Child("key"))...)
}

func validatePodAffinityTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range required {
		errs = append(errs, validatePodAffinityTerm(&required[i], p.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))...)
	}
	for i := range preferred {
		at := p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		errs = append(errs, validateWeight(preferred[i].Weight, at)...)
		errs = append(errs, validatePodAffinityTerm(&preferred[i].PodAffinityTerm, at.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodAffinityTerm(t *corev1.PodAffinityTerm, p *field.Path) field.ErrorList {
	errs := ValidateLabelSelector(t.LabelSelector, p.Child("labelSelector"))
	errs = append(errs, ValidateLabelSelector(t.NamespaceSelector, p.Child("namespaceSelector"))...)
	for _, ns := range t.Namespaces {
		errs = append(errs, rules.Invalid(p.Child("namespace"), ns, rules.DNSLabel(ns, false))...)
	}
	errs = append(errs, validateMatchLabelKeys(t.MatchLabelKeys, t.MismatchLabelKeys, t.LabelSelector, p)...)
	if t.TopologyKey == "" {
		errs = append(errs, field.Required(p.Child("topologyKey"), "can not be empty"))
	}
	return append(errs, metav1validation.ValidateLabelName(t.TopologyKey, p.Child("topologyKey"))...)
}

// ValidateLabelSelector validates a label selector and bounds its size.
func ValidateLabelSelector(s *metav1.LabelSelector, p *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	if errs := validateTermCount(selectorSize(s), p); errs != nil {
		return errs
	}
	return metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, p)
}

func validateTopologySpreadConstraints(constraints []corev1.TopologySpreadConstraint, p *field.Path) field.ErrorList {
	const maxConstraints = 100 // each is evaluated for all nodes
	if n := len(constraints); n > maxConstraints {
		return field.ErrorList{field.TooMany(p, n, maxConstraints)}
	}
	n := len(constraints)
	for i := range constraints {
		if s := constraints[i].LabelSelector; s != nil {
			n += selectorSize(s)
		}
	}
	if errs := validateTermCount(n, p); errs != nil {
		return errs
	}
	var errs field.ErrorList
	for i := range constraints {
		c, at := &constraints[i], p.Index(i)
		if c.MaxSkew <= 0 {
			errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, NotPositive))
		}
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
		}
		errs = append(errs, rules.OneOf(c.WhenUnsatisfiable, at.Child("whenUnsatisfiable"), corev1.DoNotSchedule, corev1.ScheduleAnyway)...)
		if slices.ContainsFunc(constraints[i+1:], func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}) {
			errs = append(errs, field.Duplicate(at.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%v, %v}", c.TopologyKey, c.WhenUnsatisfiable)))
		}
		if c.MinDomains != nil {
			if *c.MinDomains <= 0 {
				errs = append(errs, field.Invalid(at.Child("minDomains"), *c.MinDomains, NotPositive))
			}
			if c.WhenUnsatisfiable != corev1.DoNotSchedule {
				errs = append(errs, field.Invalid(at.Child("minDomains"), c.MinDomains,
					fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable)))
			}
		}
		errs = append(errs, rules.OptionalOneOf(c.NodeAffinityPolicy, at.Child("nodeAffinityPolicy"), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)...)
		errs = append(errs, rules.OptionalOneOf(c.NodeTaintsPolicy, at.Child("nodeTaintsPolicy"), corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)...)
		errs = append(errs, validateMatchLabelKeys(c.MatchLabelKeys, nil, c.LabelSelector, at)...)
		errs = append(errs, ValidateLabelSelector(c.LabelSelector, at.Child("labelSelector"))...)
	}
	return errs
}

// validateMatchLabelKeys validates the keys of labels whose values the pod's own labels give. The selector has them merged in, so a
// key is there twice if the client has selected by it, too.
func validateMatchLabelKeys(match, mismatch []string, s *metav1.LabelSelector, p *field.Path) field.ErrorList {
	errs := validateLabelKeys(match, s, p.Child("matchLabelKeys"))
	errs = append(errs, validateLabelKeys(mismatch, s, p.Child("mismatchLabelKeys"))...)
	if s != nil && len(match) > 0 {
		seen := make(map[string]bool, len(s.MatchLabels)+len(s.MatchExpressions))
		for k := range s.MatchLabels {
			seen[k] = true
		}
		for i := range s.MatchExpressions {
			key := s.MatchExpressions[i].Key
			if k := lastIndex(match, key); k >= 0 && seen[key] {
				errs = append(errs, field.Invalid(p.Index(k), key, "exists in both matchLabelKeys and labelSelector"))
			}
			seen[key] = true
		}
	}
	for i, k := range match {
		if slices.Contains(mismatch, k) {
			errs = append(errs, field.Invalid(p.Child("matchLabelKeys").Index(i), k, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return errs
}

func lastIndex(list []string, s string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == s {
			return i
		}
	}
	return -1
}

func validateLabelKeys(keys []string, s *metav1.LabelSelector, p *field.Path) field.ErrorList {
	if len(keys) == 0 {
		return nil
	}
	if s == nil {
		return field.ErrorList{field.Forbidden(p, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, k := range keys {
		errs = append(errs, metav1validation.ValidateLabelName(k, p.Index(i))...)
	}
	return errs
}

// ValidateTaintEffect validates the effect of a taint or, where it may be empty, of a toleration.
func ValidateTaintEffect(e corev1.TaintEffect, optional bool, p *field.Path) field.ErrorList {
	if e == "" {
		if optional {
			return nil
		}
		return field.ErrorList{field.Required(p, "")}
	}
	return rules.OneOf(e, p, corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute)
}
