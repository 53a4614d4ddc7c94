package podspec

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// ShouldRestart reports whether a container that has terminated with an exit code restarts: the
// first of its own rules that names the code decides, then its own policy, then the pod's.
// c may be nil, for a container that the pod no longer has.
func ShouldRestart(pod *v1.PodSpec, c *v1.Container, code int32) bool {
	policy := pod.RestartPolicy
	if c != nil && c.RestartPolicy != nil {
		if slices.ContainsFunc(c.RestartPolicyRules, func(r v1.ContainerRestartRule) bool { return ruleNames(r, code) }) {
			return true // Restart is the only action that a rule can have
		}
		policy = v1.RestartPolicy(*c.RestartPolicy)
	}
	switch policy {
	case v1.RestartPolicyNever:
		return false
	case v1.RestartPolicyOnFailure:
		return code != 0
	}
	return true
}

func ruleNames(r v1.ContainerRestartRule, code int32) bool {
	if r.ExitCodes == nil {
		return false
	}
	in := r.ExitCodes.Operator == v1.ContainerRestartRuleOnExitCodesOpIn
	return slices.Contains(r.ExitCodes.Values, code) == in
}
