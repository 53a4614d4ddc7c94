package autoscaling

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/autoscaling/v2beta1"
	"wheelhouse/cluster/api/autoscaling/v2beta2"
)

// The versions of 2017 to 2022. The metrics of v2beta1 are those of the annotations of autoscaling/v1, and as upstream it
// has the behavior in an annotation; v2beta2 has the shape of v2.
var (
	autoscalersV2beta2 = api.Retired[*v2beta2.HorizontalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscaler]{
		Deprecated: "autoscaling/v2beta2 HorizontalPodAutoscaler is deprecated in v1.23+, unavailable in v1.26+; use autoscaling/v2 HorizontalPodAutoscaler",
	}.Version()

	autoscalersV2beta1 = func() api.Version {
		v := api.Retired[*v2beta1.HorizontalPodAutoscaler, *autoscalingv2.HorizontalPodAutoscaler]{
			ToStored:   autoscalerFromV2beta1,
			FromStored: autoscalerToV2beta1,
			Deprecated: "autoscaling/v2beta1 HorizontalPodAutoscaler is deprecated in v1.22+, unavailable in v1.25+; use autoscaling/v2 HorizontalPodAutoscaler",
		}.Version()
		v.Media = []api.MediaType{api.JSON, api.YAML}
		return v
	}()
)

func autoscalerFromV2beta1(from *v2beta1.HorizontalPodAutoscaler, to *autoscalingv2.HorizontalPodAutoscaler) {
	to.Spec.Metrics, to.Status.CurrentMetrics = nil, nil
	for i := range from.Spec.Metrics {
		to.Spec.Metrics = append(to.Spec.Metrics, metricFromV1(&from.Spec.Metrics[i]))
	}
	for i := range from.Status.CurrentMetrics {
		to.Status.CurrentMetrics = append(to.Status.CurrentMetrics, metricStatusFromV1(&from.Status.CurrentMetrics[i]))
	}
	popAnnotation(&to.ObjectMeta, v1Behavior, &to.Spec.Behavior)
}

func autoscalerToV2beta1(from *autoscalingv2.HorizontalPodAutoscaler, to *v2beta1.HorizontalPodAutoscaler) {
	to.Spec.Metrics, to.Status.CurrentMetrics = nil, []autoscalingv1.MetricStatus{}
	for i := range from.Spec.Metrics {
		to.Spec.Metrics = append(to.Spec.Metrics, metricToV1(&from.Spec.Metrics[i]))
	}
	for i := range from.Status.CurrentMetrics {
		to.Status.CurrentMetrics = append(to.Status.CurrentMetrics, metricStatusToV1(&from.Status.CurrentMetrics[i]))
	}
	setAnnotation(&to.ObjectMeta, v1Behavior, from.Spec.Behavior, from.Spec.Behavior != nil)
}
