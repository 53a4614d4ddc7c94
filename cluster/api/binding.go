package api

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bindings is a scheduler's answer: this pod to that node. It is never stored; the
// server puts the node's name into the pod.
var Bindings = &Kind{
	GroupVersionKind: gvk("", "v1", "Binding"),
	Plural:           "bindings", Singular: "binding", Namespaced: true,
	Verbs:    []string{"create"},
	Virtual:  true,
	New:      func() Object { return &corev1.Binding{} },
	NewList:  func() runtime.Object { return nil },
	Validate: as(checkBinding),
}

func checkBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if _, ok := b.Annotations[corev1.MirrorPodAnnotationKey]; ok { // the pod gets the annotations
		errs = append(errs, field.Forbidden(mirrorPath, "may not add mirror pod annotation"))
	}
	target := field.NewPath("target")
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	if b.Target.Name == "" {
		return append(errs, field.Required(target.Child("name"), ""))
	}
	return append(errs, invalid(target.Child("name"), b.Target.Name, dnsSubdomain(b.Target.Name, false))...)
}
