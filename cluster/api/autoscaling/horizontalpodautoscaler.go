// Package autoscaling has the kinds of the group autoscaling, one file each.
package autoscaling

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// HorizontalPodAutoscalers is the kind HorizontalPodAutoscaler: it scales a workload by the metrics of its pods.
var HorizontalPodAutoscalers = api.Of[autoscalingv2.HorizontalPodAutoscaler, autoscalingv2.HorizontalPodAutoscalerList](&api.Kind{
	GroupVersionKind: api.GVK(autoscalingv2.GroupName, "v2", "HorizontalPodAutoscaler"),
	Plural:           "horizontalpodautoscalers", Singular: "horizontalpodautoscaler",
	Short: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Versions:  []api.Version{HorizontalPodAutoscalersV1, autoscalersV2beta2, autoscalersV2beta1},

	Default: rules.Mutate(defaultAutoscaler),
	PrepareCreate: rules.Mutate(func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	}),
	PrepareUpdate: rules.MutateUpdate(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Status = old.Status }),
	PrepareStatus: rules.MutateUpdate(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Spec = old.Spec }),

	Validate: rules.Typed(func(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
		return append(rules.ValidateObjectMeta(&h.ObjectMeta, true, rules.DNSSubdomain), validateAutoscaler(&h.Spec, nil)...)
	}),
	ValidateUpdate: rules.TypedUpdate(func(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
		return append(rules.ValidateObjectMetaUpdate(&h.ObjectMeta, &old.ObjectMeta), validateAutoscaler(&h.Spec, &old.Spec)...)
	}),
	ValidateStatus: rules.TypedUpdate(validateAutoscalerStatus),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Reference", "string", 0, rules.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "scaleTargetRef")),
		rules.Column("Targets", "string", 0, rules.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "metrics")),
		rules.Column("MinPods", "string", 0, rules.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "minReplicas")),
		rules.Column("MaxPods", "string", 0, rules.Doc(autoscalingv2.HorizontalPodAutoscalerSpec{}, "maxReplicas")),
		rules.Column("Replicas", "string", 0, rules.Doc(autoscalingv2.HorizontalPodAutoscalerStatus{}, "currentReplicas")),
		rules.AgeColumn,
	},
	Row: rules.Typed(autoscalerRow),
})

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	rules.SetDefaultPtr(&h.Spec.MinReplicas, 1)
	if len(h.Spec.Metrics) == 0 {
		utilization := int32(80)
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &utilization},
			},
		}}
	}
	if b := h.Spec.Behavior; b != nil {
		if b.ScaleUp == nil {
			b.ScaleUp = &autoscalingv2.HPAScalingRules{}
		}
		if b.ScaleDown == nil {
			b.ScaleDown = &autoscalingv2.HPAScalingRules{}
		}
		rules.SetDefaultPtr(&b.ScaleUp.StabilizationWindowSeconds, 0)
		defaultScalingRules(b.ScaleUp,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
		defaultScalingRules(b.ScaleDown,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	}
}

func defaultScalingRules(r *autoscalingv2.HPAScalingRules, policies ...autoscalingv2.HPAScalingPolicy) {
	rules.SetDefaultPtr(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if r.Policies == nil {
		r.Policies = policies
	}
}
