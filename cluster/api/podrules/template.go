package podrules

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// TemplateColumns returns the last columns of the kinds with a pod template and a selector, which has a description.
func TemplateColumns(selector string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		rules.Column("Containers", "string", 1, "Names of each container in the template."),
		rules.Column("Images", "string", 1, "Images referenced by each container in the template."),
		rules.Column("Selector", "string", 1, selector),
	}
}

// ValidateSelectorMatchesTemplate reports a selector that does not match the labels of the template.
func ValidateSelectorMatchesTemplate(selector labels.Selector, t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	if selector.Empty() || selector.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(p.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`")}
}

// ContainerCells returns the names and images of containers for the columns.
func ContainerCells(containers []corev1.Container) (names, images string) {
	n, i := make([]string, len(containers)), make([]string, len(containers))
	for k := range containers {
		n[k], i[k] = containers[k].Name, containers[k].Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

// ValidateReplicaTemplate validates the template of a controller that replaces its pods; kind is the one that
// the error names, ReplicaSet for a Deployment.
func ValidateReplicaTemplate(t *corev1.PodTemplateSpec, kind string, p *field.Path) field.ErrorList {
	return append(ValidatePodTemplateSpec(t, p), ValidateRestartPolicyAlways(t, kind, p)...)
}

// ValidateRestartPolicyAlways reports a template whose pods can complete or have a deadline.
func ValidateRestartPolicyAlways(t *corev1.PodTemplateSpec, kind string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(p.Child("spec", "restartPolicy"), t.Spec.RestartPolicy,
			[]corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(p.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

// ValidatePodTemplateSpec validates the template of any kind that has one.
func ValidatePodTemplateSpec(t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	errs := ValidateTemplateMeta(t, p)
	c := podSpecValidator{spec: &t.Spec, template: true}
	errs = append(errs, c.validate(p.Child("spec"))...)
	errs = append(errs, validateProfileAnnotations(&t.ObjectMeta, &t.Spec, p.Child("spec"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(p.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// ValidateTemplateMeta validates the labels and annotations of a template.
func ValidateTemplateMeta(t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	errs := metav1validation.ValidateLabels(t.Labels, p.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(t.Annotations, p.Child("annotations"))...)
	return append(errs, ValidatePodAnnotations(t.Annotations, &t.Spec, p.Child("annotations"))...)
}
