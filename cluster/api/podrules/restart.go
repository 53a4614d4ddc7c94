package podrules

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/rules"
)

const (
	maxRestartRules = 20
	maxExitCodes    = 255 // in one rule
)

// validateInitContainerRestartPolicy is validateContainerRestartPolicy for an init container: a sidecar restarts always, so
// rules would have no effect.
func validateInitContainerRestartPolicy(ctr *corev1.Container, p *field.Path) field.ErrorList {
	if !podfacts.Sidecar(ctr) {
		return validateContainerRestartPolicy(ctr, p)
	}
	if len(ctr.RestartPolicyRules) > 0 {
		return field.ErrorList{field.Forbidden(p.Child("restartPolicyRules"), "restartPolicyRules are not allowed for init containers with restart policy Always")}
	}
	return nil
}

// validateContainerRestartPolicy validates a container's own restart policy and its rules by exit code. The
// action RestartAllContainers is not supported.
func validateContainerRestartPolicy(ctr *corev1.Container, p *field.Path) field.ErrorList {
	at := p.Child("restartPolicyRules")
	var errs field.ErrorList
	switch {
	case ctr.RestartPolicy != nil:
		errs = rules.OneOf(*ctr.RestartPolicy, p.Child("restartPolicy"),
			corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	case len(ctr.RestartPolicyRules) > 0:
		errs = field.ErrorList{field.Required(p.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")}
	}
	if len(ctr.RestartPolicyRules) > maxRestartRules {
		errs = append(errs, field.TooMany(at, len(ctr.RestartPolicyRules), maxRestartRules))
	}
	for i := range ctr.RestartPolicyRules {
		errs = append(errs, validateContainerRestartRule(&ctr.RestartPolicyRules[i], at.Index(i))...)
	}
	return errs
}

func validateContainerRestartRule(r *corev1.ContainerRestartRule, p *field.Path) field.ErrorList {
	errs := rules.OneOf(r.Action, p.Child("action"), corev1.ContainerRestartRuleActionRestart)
	codes := p.Child("exitCodes")
	if r.ExitCodes == nil {
		return append(errs, field.Required(codes, "must be specified"))
	}
	errs = append(errs, rules.OneOf(r.ExitCodes.Operator, codes.Child("operator"),
		corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
	if n := len(r.ExitCodes.Values); n > maxExitCodes {
		errs = append(errs, field.TooMany(codes.Child("values"), n, maxExitCodes))
	}
	return errs
}

// MayRestart reports whether a container of the name runs again after it has exited with the code: by its rules, its own
// policy, or the pod's.
func MayRestart(s *corev1.PodSpec, name string, exitCode int32) bool {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			if c := &list[i]; c.Name == name && c.RestartPolicy != nil {
				return slices.ContainsFunc(c.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool { return matchesExitCode(r.ExitCodes, exitCode) }) ||
					restarts(corev1.RestartPolicy(*c.RestartPolicy), exitCode)
			}
		}
	}
	return restarts(s.RestartPolicy, exitCode)
}

func restarts(p corev1.RestartPolicy, exitCode int32) bool {
	return p == corev1.RestartPolicyAlways || (p == corev1.RestartPolicyOnFailure && exitCode != 0)
}

func matchesExitCode(r *corev1.ContainerRestartRuleOnExitCodes, exitCode int32) bool {
	if r == nil {
		return false
	}
	return slices.Contains(r.Values, exitCode) == (r.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
}
