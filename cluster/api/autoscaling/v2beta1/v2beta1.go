// Package v2beta1 has the Go types of autoscaling/v2beta1, which k8s.io/api no longer has. Its metrics are those that
// autoscaling/v1 has in an annotation. It has no rules; those are in the package autoscaling. There is no protobuf.
package v2beta1

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is autoscaling/v2beta1.
var GroupVersion = schema.GroupVersion{Group: autoscalingv1.GroupName, Version: "v2beta1"}

// HorizontalPodAutoscaler is the kind HorizontalPodAutoscaler.
type HorizontalPodAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              HorizontalPodAutoscalerSpec   `json:"spec,omitempty"`
	Status            HorizontalPodAutoscalerStatus `json:"status,omitempty"`
}

// HorizontalPodAutoscalerSpec is the desired state.
type HorizontalPodAutoscalerSpec struct {
	ScaleTargetRef autoscalingv1.CrossVersionObjectReference `json:"scaleTargetRef"`
	MinReplicas    *int32                                    `json:"minReplicas,omitempty"`
	MaxReplicas    int32                                     `json:"maxReplicas"`
	Metrics        []autoscalingv1.MetricSpec                `json:"metrics,omitempty"`
}

// HorizontalPodAutoscalerStatus is the observed state.
type HorizontalPodAutoscalerStatus struct {
	ObservedGeneration *int64                                           `json:"observedGeneration,omitempty"`
	LastScaleTime      *metav1.Time                                     `json:"lastScaleTime,omitempty"`
	CurrentReplicas    int32                                            `json:"currentReplicas"`
	DesiredReplicas    int32                                            `json:"desiredReplicas"`
	CurrentMetrics     []autoscalingv1.MetricStatus                     `json:"currentMetrics"`
	Conditions         []autoscalingv1.HorizontalPodAutoscalerCondition `json:"conditions"`
}

// DeepCopyObject implements runtime.Object.
func (h *HorizontalPodAutoscaler) DeepCopyObject() runtime.Object {
	out := &HorizontalPodAutoscaler{TypeMeta: h.TypeMeta, ObjectMeta: *h.ObjectMeta.DeepCopy(), Spec: h.Spec, Status: h.Status}
	out.Spec.MinReplicas = clone(h.Spec.MinReplicas)
	out.Spec.Metrics = nil
	for i := range h.Spec.Metrics {
		out.Spec.Metrics = append(out.Spec.Metrics, *h.Spec.Metrics[i].DeepCopy())
	}
	out.Status.ObservedGeneration, out.Status.LastScaleTime = clone(h.Status.ObservedGeneration), h.Status.LastScaleTime.DeepCopy()
	out.Status.CurrentMetrics, out.Status.Conditions = nil, nil
	for i := range h.Status.CurrentMetrics {
		out.Status.CurrentMetrics = append(out.Status.CurrentMetrics, *h.Status.CurrentMetrics[i].DeepCopy())
	}
	for i := range h.Status.Conditions {
		out.Status.Conditions = append(out.Status.Conditions, *h.Status.Conditions[i].DeepCopy())
	}
	return out
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// OpenAPIModelName returns the name of the type's schema.
func (HorizontalPodAutoscaler) OpenAPIModelName() string {
	return "io.k8s.api.autoscaling.v2beta1.HorizontalPodAutoscaler"
}

// OpenAPIModelName returns the name of the type's schema.
func (HorizontalPodAutoscalerSpec) OpenAPIModelName() string {
	return "io.k8s.api.autoscaling.v2beta1.HorizontalPodAutoscalerSpec"
}

// OpenAPIModelName returns the name of the type's schema.
func (HorizontalPodAutoscalerStatus) OpenAPIModelName() string {
	return "io.k8s.api.autoscaling.v2beta1.HorizontalPodAutoscalerStatus"
}

// HorizontalPodAutoscalerList is a list of them.
type HorizontalPodAutoscalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HorizontalPodAutoscaler `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *HorizontalPodAutoscalerList) DeepCopyObject() runtime.Object {
	out := &HorizontalPodAutoscalerList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*HorizontalPodAutoscaler))
	}
	return out
}

// OpenAPIModelName returns the name of the type's schema.
func (HorizontalPodAutoscalerList) OpenAPIModelName() string {
	return "io.k8s.api.autoscaling.v2beta1.HorizontalPodAutoscalerList"
}

// AddToScheme adds the types to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &HorizontalPodAutoscaler{}, &HorizontalPodAutoscalerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
