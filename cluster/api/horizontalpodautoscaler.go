package api

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// HorizontalPodAutoscalers scales something by what its pods use.
var HorizontalPodAutoscalers = &Kind{
	GroupVersionKind: gvk(autoscalingv2.GroupName, "v2", "HorizontalPodAutoscaler"),
	Plural:           "horizontalpodautoscalers", Singular: "horizontalpodautoscaler",
	Short: []string{"hpa"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
	NewList:   func() runtime.Object { return &autoscalingv2.HorizontalPodAutoscalerList{} },

	Default: do(defaultAutoscaler),
	PrepareCreate: do(func(h *autoscalingv2.HorizontalPodAutoscaler) {
		h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	}),
	PrepareUpdate: do2(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Status = old.Status }),
	PrepareStatus: do2(func(h, old *autoscalingv2.HorizontalPodAutoscaler) { h.Spec = old.Spec }),

	Validate: as(func(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
		return append(checkMeta(&h.ObjectMeta, true, dnsSubdomain), checkAutoscaler(&h.Spec, 1)...)
	}),
	ValidateUpdate: as2(func(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
		fewest := int32(1)
		if n := old.Spec.MinReplicas; n != nil && *n == 0 {
			fewest = 0 // it may stay what it was
		}
		return append(checkMetaUpdate(&h.ObjectMeta, &old.ObjectMeta), checkAutoscaler(&h.Spec, fewest)...)
	}),
	ValidateStatus: as2(checkAutoscalerStatus),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Reference", "string", 0, "What is scaled."),
		col("Targets", "string", 0, "What is measured, and what it shall be."),
		col("MinPods", "string", 0, "Fewest pods."),
		col("MaxPods", "string", 0, "Most pods."),
		col("Replicas", "string", 0, "Pods there are."),
		ageColumn,
	},
	Row: as(autoscalerRow),
}

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	setDefaultPtr(&h.Spec.MinReplicas, 1)
	if len(h.Spec.Metrics) == 0 {
		use := int32(80)
		h.Spec.Metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &use},
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
		setDefaultPtr(&b.ScaleUp.StabilizationWindowSeconds, 0)
		defaultScalingRules(b.ScaleUp,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
		defaultScalingRules(b.ScaleDown,
			autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15})
	}
}

func defaultScalingRules(r *autoscalingv2.HPAScalingRules, policies ...autoscalingv2.HPAScalingPolicy) {
	setDefaultPtr(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
	if r.Policies == nil {
		r.Policies = policies
	}
}
