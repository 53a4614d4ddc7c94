package admission

import (
	"encoding/json"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// podSpecOf returns the spec of a pod, or of the pods that a controller will create from an
// object, or nil. What needs a right in a pod is checked when the template is written: the
// controllers have every right to pods.
//
// A ControllerRevision has its template as data, so that changes of the result are lost.
func podSpecOf(obj runtime.Object) *corev1.PodSpec {
	switch o := obj.(type) {
	case *corev1.Pod:
		return &o.Spec
	case *corev1.ReplicationController:
		if o.Spec.Template == nil {
			return nil
		}
		return &o.Spec.Template.Spec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.Spec
	case *appsv1.Deployment:
		return &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return &o.Spec.Template.Spec
	case *batchv1.Job:
		return &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.Spec
	case *appsv1.ControllerRevision:
		return revisedSpec(o.Data.Raw)
	}
	return nil
}

func revisedSpec(data []byte) *corev1.PodSpec {
	var revision struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if json.Unmarshal(data, &revision) != nil {
		return nil // its controller cannot read it either
	}
	return &revision.Spec.Template.Spec
}
