package podrules

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

const (
	maxRestartRules = 20
	maxExitCodes    = 255 // in one rule
)

// validateContainerRestartPolicy validates a container's own restart policy and its rules by exit code. The
// action RestartAllContainers is not supported.
func validateContainerRestartPolicy(ctr *corev1.Container, p *field.Path) field.ErrorList {
	at := p.Child("restartPolicyRules")
	if ctr.RestartPolicy == nil {
		if len(ctr.RestartPolicyRules) > 0 {
			return field.ErrorList{field.Required(p.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")}
		}
		return nil
	}
	errs := rules.OneOf(*ctr.RestartPolicy, p.Child("restartPolicy"),
		corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
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
