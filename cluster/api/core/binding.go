package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Bindings is the kind Binding: a scheduler's decision to run a pod on a node. It is never stored; the server
// sets the pod's nodeName.
var Bindings = &api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Binding"),
	Plural:           "bindings", Singular: "binding", Namespaced: true,
	Verbs:    []string{"create"},
	Virtual:  true,
	New:      func() api.Object { return &corev1.Binding{} },
	NewList:  func() runtime.Object { return nil },
	Validate: rules.Typed(validateBinding),
}

func validateBinding(b *corev1.Binding) field.ErrorList {
	var errs field.ErrorList
	if _, ok := b.Annotations[corev1.MirrorPodAnnotationKey]; ok { // the annotations are copied to the pod
		errs = append(errs, field.Forbidden(rules.MetadataPath.Child("annotations").Key(corev1.MirrorPodAnnotationKey), "may not add mirror pod annotation"))
	}
	target := field.NewPath("target")
	if b.Target.Kind != "" && b.Target.Kind != "Node" {
		errs = append(errs, field.NotSupported(target.Child("kind"), b.Target.Kind, []string{"Node", "<empty>"}))
	}
	return append(errs, rules.RequiredValue(b.Target.Name, target.Child("name"), validation.IsDNS1123Subdomain)...)
}
