package podrules

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// Resizable has the resources that can change while a container runs.
var Resizable = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// RestartsOnResize reports whether changing the resource restarts the container.
func RestartsOnResize(p corev1.ContainerResizePolicy) bool {
	return p.RestartPolicy == corev1.RestartContainer
}

// validateResizePolicy validates a container's resize policies. The default is NotRequired.
func validateResizePolicy(list []corev1.ContainerResizePolicy, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceName]bool{}
	for i, r := range list {
		errs = append(errs, rules.Unique(seen, r.ResourceName, p.Index(i), r.ResourceName)...)
		errs = append(errs, rules.RequiredOneOf(r.ResourceName, p, Resizable...)...)
		errs = append(errs, rules.RequiredOneOf(r.RestartPolicy, p, corev1.NotRequired, corev1.RestartContainer)...)
		if s.RestartPolicy == corev1.RestartPolicyNever && r.RestartPolicy != corev1.NotRequired {
			errs = append(errs, field.Invalid(p, r.RestartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
		}
	}
	return errs
}

// validateInitResizePolicy reports a policy that would restart an init container.
func validateInitResizePolicy(list []corev1.ContainerResizePolicy, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, r := range list {
		if RestartsOnResize(r) {
			errs = append(errs, field.Invalid(p.Index(i).Child("restartPolicy"), r.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"))
		}
	}
	return errs
}
