package autoscaling

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/rules"
)

func autoscalerRow(h *autoscalingv2.HorizontalPodAutoscaler) []any {
	minReplicasLowerBound := "<unset>"
	if h.Spec.MinReplicas != nil {
		minReplicasLowerBound = fmt.Sprint(*h.Spec.MinReplicas)
	}
	return []any{
		h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, autoscalerTargets(h.Spec.Metrics, h.Status.CurrentMetrics),
		minReplicasLowerBound, int64(h.Spec.MaxReplicas), int64(h.Status.CurrentReplicas), rules.Age(h.CreationTimestamp),
	}
}

// autoscalerTargets returns the first two metrics, each as "current/target".
func autoscalerTargets(metrics []autoscalingv2.MetricSpec, statuses []autoscalingv2.MetricStatus) string {
	const maxShown = 2
	if len(metrics) == 0 {
		return "<none>"
	}
	var list []string
	for i := range metrics[:min(maxShown, len(metrics))] {
		var status autoscalingv2.MetricStatus
		if i < len(statuses) {
			status = statuses[i]
		}
		list = append(list, autoscalerTarget(&metrics[i], &status))
	}
	out := strings.Join(list, ", ")
	if len(metrics) > maxShown {
		out += fmt.Sprintf(" + %d more...", len(metrics)-maxShown)
	}
	return out
}

func autoscalerTarget(m *autoscalingv2.MetricSpec, s *autoscalingv2.MetricStatus) string {
	current := currentValue(m.Type, s)
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		return valueTarget(&m.External.Target, &current)
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		return orUnknown(current.AverageValue) + "/" + orUnknown(m.Pods.Target.AverageValue)
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		return valueTarget(&m.Object.Target, &current)
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		return resourceTarget(m.Resource.Name, &m.Resource.Target, &current)
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		return resourceTarget(m.ContainerResource.Name, &m.ContainerResource.Target, &current)
	}
	return "<unknown type>"
}

// currentValue returns the current value of a metric of the type t, empty if the status has none.
func currentValue(t autoscalingv2.MetricSourceType, s *autoscalingv2.MetricStatus) autoscalingv2.MetricValueStatus {
	switch {
	case t == autoscalingv2.ExternalMetricSourceType && s.External != nil:
		return s.External.Current
	case t == autoscalingv2.PodsMetricSourceType && s.Pods != nil:
		return s.Pods.Current
	case t == autoscalingv2.ObjectMetricSourceType && s.Object != nil:
		return s.Object.Current
	case t == autoscalingv2.ResourceMetricSourceType && s.Resource != nil:
		return s.Resource.Current
	case t == autoscalingv2.ContainerResourceMetricSourceType && s.ContainerResource != nil:
		return s.ContainerResource.Current
	}
	return autoscalingv2.MetricValueStatus{}
}

func valueTarget(t *autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return orUnknown(current.AverageValue) + "/" + t.AverageValue.String() + " (avg)"
	}
	return orUnknown(current.Value) + "/" + orUnknown(t.Value)
}

func resourceTarget(name corev1.ResourceName, t *autoscalingv2.MetricTarget, current *autoscalingv2.MetricValueStatus) string {
	if t.AverageValue != nil {
		return fmt.Sprintf("%s: %s/%s", name, orUnknown(current.AverageValue), t.AverageValue.String())
	}
	return fmt.Sprintf("%s: %s/%s", name, percent(current.AverageUtilization, "<unknown>"), percent(t.AverageUtilization, "<auto>"))
}

func orUnknown(q *resource.Quantity) string {
	if q == nil {
		return "<unknown>"
	}
	return q.String()
}

func percent(n *int32, none string) string {
	if n == nil {
		return none
	}
	return fmt.Sprintf("%d%%", *n)
}
