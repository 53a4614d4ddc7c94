// Package metrics has the kinds of the group metrics.k8s.io.
package metrics

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// NodeMetrics is the kind NodeMetrics: the resource usage of each node. The server computes it from the
// kubelets' answers.
var NodeMetrics = api.Of[metricsv1beta1.NodeMetrics, metricsv1beta1.NodeMetricsList](&api.Kind{
	GroupVersionKind: api.GVK(metricsv1beta1.GroupName, "v1beta1", "NodeMetrics"),
	Plural:           "nodes",
	Verbs:            []string{"get", "list"},
	Virtual:          true,

	Columns: usageColumns,
	Row: rules.Typed(func(m *metricsv1beta1.NodeMetrics) []any {
		return usageRow(m.Name, m.Usage, m.Window)
	}),
})

// PodMetrics is the kind PodMetrics: the resource usage of each pod's containers.
var PodMetrics = api.Of[metricsv1beta1.PodMetrics, metricsv1beta1.PodMetricsList](&api.Kind{
	GroupVersionKind: api.GVK(metricsv1beta1.GroupName, "v1beta1", "PodMetrics"),
	Plural:           "pods", Namespaced: true,
	Verbs:   []string{"get", "list"},
	Virtual: true,

	Columns: usageColumns,
	Row: rules.Typed(func(m *metricsv1beta1.PodMetrics) []any {
		sum := corev1.ResourceList{}
		for _, c := range m.Containers {
			for n, q := range c.Usage {
				all := sum[n].DeepCopy()
				all.Add(q)
				sum[n] = all
			}
		}
		return usageRow(m.Name, sum, m.Window)
	}),
})

var usageColumns = []metav1.TableColumnDefinition{
	rules.NameColumn,
	rules.Column("cpu", "string", 0, "CPU usage in cores."),
	rules.Column("memory", "string", 0, "Working set memory."),
	rules.Column("window", "string", 0, "Window of the measurement."),
}

func usageRow(name string, usage corev1.ResourceList, window metav1.Duration) []any {
	cpu := resource.NewMilliQuantity(usage.Cpu().MilliValue(), resource.DecimalSI)
	memory := resource.NewQuantity(usage.Memory().Value()>>10<<10, resource.BinarySI)
	return []any{name, cpu.String(), memory.String(), window.Duration.String()}
}
