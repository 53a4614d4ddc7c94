package api

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var templatePath = field.NewPath("template")

// PodTemplates keeps the description of a pod, for others to make pods of.
var PodTemplates = &Kind{
	GroupVersionKind: gvk("", "v1", "PodTemplate"),
	Plural:           "podtemplates", Singular: "podtemplate", Namespaced: true,
	New:     func() Object { return &corev1.PodTemplate{} },
	NewList: func() runtime.Object { return &corev1.PodTemplateList{} },

	Default:       do(func(t *corev1.PodTemplate) { defaultPodSpec(&t.Template.Spec) }),
	PrepareCreate: do(func(t *corev1.PodTemplate) { t.Generation = 1 }),
	PrepareUpdate: do2(func(t, old *corev1.PodTemplate) {
		t.Generation = old.Generation
		if !same(t.Template, old.Template) {
			t.Generation++
		}
	}),
	Validate: as(func(t *corev1.PodTemplate) field.ErrorList {
		return append(checkMeta(&t.ObjectMeta, true, dnsSubdomain), checkPodTemplate(&t.Template, templatePath)...)
	}),
	ValidateUpdate: as2(func(t, old *corev1.PodTemplate) field.ErrorList {
		return append(checkMetaUpdate(&t.ObjectMeta, &old.ObjectMeta), checkPodTemplate(&t.Template, templatePath)...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Containers", "string", 0, "Names of the containers."),
		col("Images", "string", 0, "Images of the containers."),
		col("Pod Labels", "string", 0, "Labels of the pods."),
	},
	Row: as(func(t *corev1.PodTemplate) []any {
		names, images := containerNames(t.Template.Spec.Containers)
		return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
	}),
}
