package autoscaling

import (
	"errors"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// Limits of scaling rules, in seconds.
const (
	maxScalingPeriod        = 1800
	maxStabilizationSeconds = 3600
)

// autoscalerBounds is what a valid update of an old autoscaler may have, other than a new one.
type autoscalerBounds struct {
	minReplicas int32
	anyTarget   bool // the target is the old one's
	anyObject   bool // of the described objects, an old one's has an invalid version
}

func boundsOf(s, old *autoscalingv2.HorizontalPodAutoscalerSpec) autoscalerBounds {
	b := autoscalerBounds{minReplicas: 1}
	if old == nil {
		return b
	}
	if old.MinReplicas != nil && *old.MinReplicas == 0 {
		b.minReplicas = 0
	}
	b.anyTarget = old.ScaleTargetRef.APIVersion == s.ScaleTargetRef.APIVersion && old.ScaleTargetRef.Kind == s.ScaleTargetRef.Kind
	for i := range old.Metrics {
		if m := &old.Metrics[i]; m.Object != nil && m.Type == autoscalingv2.ObjectMetricSourceType {
			_, err := schema.ParseGroupVersion(m.Object.DescribedObject.APIVersion)
			b.anyObject = b.anyObject || err != nil
		}
	}
	return b
}

func validateAutoscaler(s, old *autoscalingv2.HorizontalPodAutoscalerSpec) field.ErrorList {
	var errs field.ErrorList
	bounds := boundsOf(s, old)
	if n := s.MinReplicas; n != nil && *n < bounds.minReplicas {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("minReplicas"), *n, fmt.Sprintf("must be greater than or equal to %d", bounds.minReplicas)))
	}
	switch at := rules.SpecPath.Child("maxReplicas"); {
	case s.MaxReplicas == 0:
		errs = append(errs, field.Required(at, "must be set and greater than 0"))
	case s.MaxReplicas < 0:
		errs = append(errs, field.Invalid(at, s.MaxReplicas, "must be greater than or equal to 1"))
	}
	if n := s.MinReplicas; n != nil && s.MaxReplicas < *n {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("maxReplicas"), s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	// The only scalable kind without a group is ReplicationController.
	target := reference{noGroup: s.ScaleTargetRef.Kind == "ReplicationController", anyVersion: bounds.anyTarget}
	errs = append(errs, target.validate(&s.ScaleTargetRef, rules.SpecPath.Child("scaleTargetRef"))...)
	metrics, hasObjectMetric := rules.SpecPath.Child("metrics"), false
	for i := range s.Metrics {
		errs = append(errs, validateMetric(&s.Metrics[i], reference{noGroup: true, anyVersion: bounds.anyObject}, metrics.Index(i))...)
		t := s.Metrics[i].Type
		hasObjectMetric = hasObjectMetric || t == autoscalingv2.ObjectMetricSourceType || t == autoscalingv2.ExternalMetricSourceType
	}
	// Resource metrics need at least one pod.
	if n := s.MinReplicas; n != nil && *n == 0 && !hasObjectMetric {
		errs = append(errs, field.Forbidden(metrics, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	if b := s.Behavior; b != nil {
		errs = append(errs, validateScalingRules(b.ScaleUp, rules.SpecPath.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateScalingRules(b.ScaleDown, rules.SpecPath.Child("behavior", "scaleDown"))...)
	}
	return errs
}

// reference is what a reference to an object may have.
type reference struct {
	noGroup    bool
	anyVersion bool
}

func (may reference) validate(r *autoscalingv2.CrossVersionObjectReference, p *field.Path) field.ErrorList {
	errs := validatePathSegmentName(r.Kind, p.Child("kind"), "")
	errs = append(errs, validatePathSegmentName(r.Name, p.Child("name"), "")...)
	if may.anyVersion {
		return errs
	}
	gv, err := schema.ParseGroupVersion(r.APIVersion)
	if err == nil && !may.noGroup && gv.Group == "" {
		err = errors.New("apiVersion must specify API group")
	}
	if err != nil {
		errs = append(errs, field.Invalid(p.Child("apiVersion"), r.APIVersion, err.Error()))
	}
	return errs
}

// validatePathSegmentName validates a required name that is used in paths.
func validatePathSegmentName(v string, p *field.Path, missing string) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, missing)}
	}
	return rules.Invalid(p, v, rules.PathSegment(v, false))
}

func validateScalingRules(r *autoscalingv2.HPAScalingRules, p *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if n := r.StabilizationWindowSeconds; n != nil {
		at := p.Child("stabilizationWindowSeconds")
		if *n < 0 {
			errs = append(errs, field.Invalid(at, *n, "must be greater than or equal to zero"))
		}
		if *n > maxStabilizationSeconds {
			errs = append(errs, field.Invalid(at, *n, fmt.Sprintf("must be less than or equal to %v", maxStabilizationSeconds)))
		}
	}
	errs = append(errs, rules.OptionalOneOf(r.SelectPolicy, p.Child("selectPolicy"),
		autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
	policies := p.Child("policies")
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(policies, "must specify at least one Policy"))
	}
	for i, policy := range r.Policies {
		at := policies.Index(i)
		errs = append(errs, rules.OneOf(policy.Type, at.Child("type"), autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)...)
		if policy.Value <= 0 {
			errs = append(errs, field.Invalid(at.Child("value"), policy.Value, "must be greater than zero"))
		}
		if policy.PeriodSeconds <= 0 {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), policy.PeriodSeconds, "must be greater than zero"))
		}
		if policy.PeriodSeconds > maxScalingPeriod {
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), policy.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", maxScalingPeriod)))
		}
	}
	if t := r.Tolerance; t != nil && t.Sign() < 0 {
		errs = append(errs, field.Invalid(p.Child("tolerance"), t.String(), rules.IsNegative))
	}
	return errs
}

// validateMetric validates a metric, which must have the source of its type and no other.
func validateMetric(m *autoscalingv2.MetricSpec, object reference, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Type == "" {
		errs = append(errs, field.Required(p.Child("type"), "must specify a metric source type"))
	}
	known := rules.OneOf(m.Type, p.Child("type"), autoscalingv2.ContainerResourceMetricSourceType, autoscalingv2.ExternalMetricSourceType,
		autoscalingv2.ObjectMetricSourceType, autoscalingv2.PodsMetricSourceType, autoscalingv2.ResourceMetricSourceType)
	errs = append(errs, known...)

	sources := []struct {
		kind  autoscalingv2.MetricSourceType
		name  string
		there bool
		check func(p *field.Path) field.ErrorList
	}{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(p *field.Path) field.ErrorList { return validateObjectMetric(m.Object, object, p) }},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(p *field.Path) field.ErrorList { return validateExternalMetric(m.External, p) }},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(p *field.Path) field.ErrorList { return validatePodsMetric(m.Pods, p) }},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(p *field.Path) field.ErrorList {
			return validateResourceMetric(string(m.Resource.Name), &m.Resource.Target, p)
		}},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(p *field.Path) field.ErrorList {
			return validateContainerMetric(m.ContainerResource, p)
		}},
	}
	present := 0
	for _, s := range sources {
		if !s.there {
			continue
		}
		if present == 0 {
			errs = append(errs, s.check(p.Child(s.name))...)
		}
		present++
	}
	if len(known) > 0 {
		errs = append(errs, known...) // as upstream, which reports it twice
	}
	for _, s := range sources {
		switch {
		case s.kind == m.Type && !s.there:
			errs = append(errs, field.Required(p.Child(s.name), "must populate information for the given metric source"))
		case s.kind != m.Type && s.there && present > 1:
			errs = append(errs, field.Forbidden(p.Child(s.name), "must populate the given metric source only"))
		}
	}
	return errs
}

func validateObjectMetric(m *autoscalingv2.ObjectMetricSource, object reference, p *field.Path) field.ErrorList {
	errs := object.validate(&m.DescribedObject, p.Child("describedObject"))
	errs = append(errs, validateMetricName(m.Metric.Name, p)...)
	errs = append(errs, validateMetricTarget(&m.Target, p.Child("target"))...)
	if m.Target.Value == nil && m.Target.AverageValue == nil {
		errs = append(errs, field.Required(p.Child("target", "averageValue"), "must set either a target value or averageValue"))
	}
	return errs
}

func validateExternalMetric(m *autoscalingv2.ExternalMetricSource, p *field.Path) field.ErrorList {
	errs := validateMetricName(m.Metric.Name, p)
	errs = append(errs, validateMetricTarget(&m.Target, p.Child("target"))...)
	switch {
	case m.Target.Value == nil && m.Target.AverageValue == nil:
		errs = append(errs, field.Required(p.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target"))
	case m.Target.Value != nil && m.Target.AverageValue != nil:
		errs = append(errs, field.Forbidden(p.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
	}
	return errs
}

func validatePodsMetric(m *autoscalingv2.PodsMetricSource, p *field.Path) field.ErrorList {
	errs := validateMetricName(m.Metric.Name, p)
	errs = append(errs, validateMetricTarget(&m.Target, p.Child("target"))...)
	if m.Target.AverageValue == nil {
		errs = append(errs, field.Required(p.Child("target", "averageValue"), "must specify a positive target averageValue"))
	}
	return errs
}

func validateContainerMetric(m *autoscalingv2.ContainerResourceMetricSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), "must specify a resource name"))
	} else {
		errs = append(errs, podrules.ValidateContainerResourceName(m.Name, p.Child("name"))...)
	}
	if m.Container == "" {
		errs = append(errs, field.Required(p.Child("container"), "must specify a container"))
	} else {
		errs = append(errs, rules.Invalid(p.Child("container"), m.Container, validation.IsDNS1123Label(m.Container))...)
	}
	return append(errs, validateResourceTarget(&m.Target, p.Child("target"))...)
}

func validateResourceMetric(name string, t *autoscalingv2.MetricTarget, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(p.Child("name"), "must specify a resource name"))
	}
	return append(errs, validateResourceTarget(t, p.Child("target"))...)
}

func validateResourceTarget(t *autoscalingv2.MetricTarget, p *field.Path) field.ErrorList {
	errs := validateMetricTarget(t, p)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(p.Child("averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(p.Child("averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateMetricName(name string, p *field.Path) field.ErrorList {
	return validatePathSegmentName(name, p.Child("metric", "name"), "must specify a metric name")
}

func validateMetricTarget(t *autoscalingv2.MetricTarget, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Type == "" {
		errs = append(errs, field.Required(p.Child("type"), "must specify a metric target type"))
	}
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		errs = append(errs, field.Invalid(p.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	positive := func(q *resource.Quantity, name string) {
		if q != nil && q.Sign() != 1 {
			errs = append(errs, field.Invalid(p.Child(name), q.String(), "must be positive"))
		}
	}
	positive(t.Value, "value")
	positive(t.AverageValue, "averageValue")
	if n := t.AverageUtilization; n != nil && *n < 1 {
		errs = append(errs, field.Invalid(p.Child("averageUtilization"), *n, "must be greater than 0"))
	}
	return errs
}

func validateAutoscalerStatus(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&h.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, rules.NonNegative(int64(h.Status.CurrentReplicas), rules.StatusPath.Child("currentReplicas"))...)
	return append(errs, rules.NonNegative(int64(h.Status.DesiredReplicas), rules.StatusPath.Child("desiredReplicas"))...)
}
