package autoscaling

import (
	"encoding/json"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// The annotations for what autoscaling/v1 has no fields for.
const (
	v1Metrics    = "autoscaling.alpha.kubernetes.io/metrics"
	v1Current    = "autoscaling.alpha.kubernetes.io/current-metrics"
	v1Conditions = "autoscaling.alpha.kubernetes.io/conditions"
	v1Behavior   = "autoscaling.alpha.kubernetes.io/behavior"
)

// HorizontalPodAutoscalersV1 is the version with CPU utilization as its one metric. It is not deprecated.
var HorizontalPodAutoscalersV1 = api.Retired[*autoscalingv1.HorizontalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscaler]{
	ToStored:   autoscalerFromV1,
	FromStored: autoscalerToV1,
}.Version()

func autoscalerFromV1(from *autoscalingv1.HorizontalPodAutoscaler, to *autoscalingv2.HorizontalPodAutoscaler) {
	var metrics []autoscalingv1.MetricSpec
	popAnnotation(&to.ObjectMeta, v1Metrics, &metrics)
	for i := range metrics {
		to.Spec.Metrics = append(to.Spec.Metrics, metricFromV1(&metrics[i]))
	}
	if utilization := from.Spec.TargetCPUUtilizationPercentage; utilization != nil {
		to.Spec.Metrics = append(to.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: utilization},
			},
		})
	}
	popAnnotation(&to.ObjectMeta, v1Behavior, &to.Spec.Behavior)

	var current []autoscalingv1.MetricStatus
	popAnnotation(&to.ObjectMeta, v1Current, &current)
	for i := range current {
		to.Status.CurrentMetrics = append(to.Status.CurrentMetrics, metricStatusFromV1(&current[i]))
	}
	if utilization := from.Status.CurrentCPUUtilizationPercentage; utilization != nil && !hasCPU(to.Status.CurrentMetrics) {
		to.Status.CurrentMetrics = append(to.Status.CurrentMetrics, autoscalingv2.MetricStatus{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: utilization},
			},
		})
	}
	popAnnotation(&to.ObjectMeta, v1Conditions, &to.Status.Conditions)
}

func hasCPU(list []autoscalingv2.MetricStatus) bool {
	for i := range list {
		if r := list[i].Resource; r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			return true
		}
	}
	return false
}

func autoscalerToV1(from *autoscalingv2.HorizontalPodAutoscaler, to *autoscalingv1.HorizontalPodAutoscaler) {
	var metrics []autoscalingv1.MetricSpec
	for i := range from.Spec.Metrics {
		m := &from.Spec.Metrics[i]
		if utilization := cpuTarget(m); utilization != nil && to.Spec.TargetCPUUtilizationPercentage == nil {
			to.Spec.TargetCPUUtilizationPercentage = utilization
			continue
		}
		metrics = append(metrics, metricToV1(m))
	}
	setAnnotation(&to.ObjectMeta, v1Metrics, metrics, len(metrics) > 0)
	setAnnotation(&to.ObjectMeta, v1Behavior, from.Spec.Behavior, from.Spec.Behavior != nil)

	var current []autoscalingv1.MetricStatus
	for i := range from.Status.CurrentMetrics {
		m := &from.Status.CurrentMetrics[i]
		if r := m.Resource; r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			utilization := *r.Current.AverageUtilization
			to.Status.CurrentCPUUtilizationPercentage = &utilization
		}
		current = append(current, metricStatusToV1(m))
	}
	setAnnotation(&to.ObjectMeta, v1Current, current, len(current) > 0)
	setAnnotation(&to.ObjectMeta, v1Conditions, from.Status.Conditions, len(from.Status.Conditions) > 0)
}

// cpuTarget returns a copy of the target CPU utilization of a metric, nil for other metrics.
func cpuTarget(m *autoscalingv2.MetricSpec) *int32 {
	if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil ||
		m.Resource.Name != corev1.ResourceCPU || m.Resource.Target.AverageUtilization == nil {
		return nil
	}
	utilization := *m.Resource.Target.AverageUtilization
	return &utilization
}

// popAnnotation decodes an annotation and removes it. As upstream it ignores a malformed one.
func popAnnotation(m *metav1.ObjectMeta, name string, into any) {
	text, has := m.Annotations[name]
	if !has {
		return
	}
	if api.CheckQuantities([]byte(text), true, into) == nil {
		_ = json.Unmarshal([]byte(text), into)
	}
	rules.SetAnnotation(m, name, "")
}

func setAnnotation(m *metav1.ObjectMeta, name string, v any, there bool) {
	if !there {
		return
	}
	if text, err := json.Marshal(v); err == nil {
		rules.SetAnnotation(m, name, string(text))
	}
}
