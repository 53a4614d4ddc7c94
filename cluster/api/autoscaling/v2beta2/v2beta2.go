// Package v2beta2 has the Go types of autoscaling/v2beta2, which k8s.io/api no longer has. They have the shape of
// autoscaling/v2. It has no rules; those are in the package autoscaling.
package v2beta2

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is autoscaling/v2beta2.
var GroupVersion = schema.GroupVersion{Group: autoscalingv2.GroupName, Version: "v2beta2"}

// HorizontalPodAutoscaler is the kind HorizontalPodAutoscaler. Its schema has the name that it has in autoscaling/v2, by
// which merge rules are looked up.
type HorizontalPodAutoscaler struct {
	autoscalingv2.HorizontalPodAutoscaler `json:",inline"`
}

// DeepCopyObject implements runtime.Object.
func (h *HorizontalPodAutoscaler) DeepCopyObject() runtime.Object {
	return &HorizontalPodAutoscaler{HorizontalPodAutoscaler: *h.HorizontalPodAutoscaler.DeepCopy()}
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
	return "io.k8s.api.autoscaling.v2beta2.HorizontalPodAutoscalerList"
}

// AddToScheme adds the types to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &HorizontalPodAutoscaler{}, &HorizontalPodAutoscalerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
