package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// PodTemplates is the kind PodTemplate: a template that clients create pods from.
var PodTemplates = api.Of[corev1.PodTemplate, corev1.PodTemplateList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "PodTemplate"),
	Plural:           "podtemplates", Singular: "podtemplate", Namespaced: true,

	Default:       rules.Mutate(func(t *corev1.PodTemplate) { podrules.DefaultPodSpec(&t.Template.Spec) }),
	PrepareCreate: rules.Mutate(func(t *corev1.PodTemplate) { t.Generation = 1 }),
	PrepareUpdate: rules.MutateUpdate(func(t, old *corev1.PodTemplate) {
		t.Generation = old.Generation
		if !rules.Equal(t.Template, old.Template) {
			t.Generation++
		}
	}),
	Validate:       rules.Validate(true, rules.DNSSubdomain, validatePodTemplate),
	ValidateUpdate: rules.ValidateUpdate(validatePodTemplate),

	Warn: rules.Typed(func(t *corev1.PodTemplate) []string {
		return podrules.WarningsForTemplate(&t.Template, field.NewPath("template"))
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Containers", "string", 0, "Names of each container in the template."),
		rules.Column("Images", "string", 0, "Images referenced by each container in the template."),
		rules.Column("Pod Labels", "string", 0, "The labels for the pod template."),
	},
	Row: rules.Typed(func(t *corev1.PodTemplate) []any {
		names, images := podrules.ContainerCells(t.Template.Spec.Containers)
		return []any{t.Name, names, images, labels.FormatLabels(t.Template.Labels)}
	}),
})

func validatePodTemplate(t *corev1.PodTemplate) field.ErrorList {
	return podrules.ValidatePodTemplateSpec(&t.Template, field.NewPath("template"))
}
