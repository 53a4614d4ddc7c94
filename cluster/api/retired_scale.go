package api

import (
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ScaleToRetired converts a Scale to the shape of extensions/v1beta1, apps/v1beta1 and apps/v1beta2, in which
// selector has labels and targetSelector any selector. The object has the type of gv.
func ScaleToRetired(s *autoscalingv1.Scale, gv schema.GroupVersion) (Object, error) {
	old := &extensionsv1beta1.Scale{
		ObjectMeta: s.ObjectMeta,
		Spec:       extensionsv1beta1.ScaleSpec{Replicas: s.Spec.Replicas},
		Status:     extensionsv1beta1.ScaleStatus{Replicas: s.Status.Replicas, TargetSelector: s.Status.Selector},
	}
	if parsed, err := metav1.ParseToLabelSelector(s.Status.Selector); err == nil && len(parsed.MatchExpressions) == 0 {
		old.Status.Selector = parsed.MatchLabels
	}
	to, err := Scheme.New(gv.WithKind("Scale"))
	if err != nil {
		return nil, err
	}
	CopyShape(old, to.(Object))
	return to.(Object), nil
}

// ScaleFromRetired is the inverse of ScaleToRetired.
func ScaleFromRetired(o Object) *autoscalingv1.Scale {
	old := &extensionsv1beta1.Scale{}
	CopyShape(o, old)
	s := &autoscalingv1.Scale{
		ObjectMeta: old.ObjectMeta,
		Spec:       autoscalingv1.ScaleSpec{Replicas: old.Spec.Replicas},
		Status:     autoscalingv1.ScaleStatus{Replicas: old.Status.Replicas, Selector: old.Status.TargetSelector},
	}
	if s.Status.Selector == "" {
		s.Status.Selector = labels.FormatLabels(old.Status.Selector)
	}
	return s
}
