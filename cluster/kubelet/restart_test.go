package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A container may have a policy of its own, and rules by exit code that come before it:
// what the pod's phase is then, and whether the container is started again.
func TestOwnRestartPolicies(t *testing.T) {
	const always, never, onFailure = v1.ContainerRestartPolicyAlways, v1.ContainerRestartPolicyNever, v1.ContainerRestartPolicyOnFailure
	in, notIn := v1.ContainerRestartRuleOnExitCodesOpIn, v1.ContainerRestartRuleOnExitCodesOpNotIn
	rules := func(op v1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) []v1.ContainerRestartRule {
		return []v1.ContainerRestartRule{{Action: v1.ContainerRestartRuleActionRestart, ExitCodes: &v1.ContainerRestartRuleOnExitCodes{Operator: op, Values: codes}}}
	}
	for _, c := range []struct {
		name  string
		pod   v1.RestartPolicy
		own   v1.ContainerRestartPolicy
		rules []v1.ContainerRestartRule
		code  int
		phase v1.PodPhase
		again bool
	}{
		{"Always of a pod that never does", v1.RestartPolicyNever, always, nil, 0, v1.PodRunning, true},
		{"Never of a pod that always does, failed", v1.RestartPolicyAlways, never, nil, 1, v1.PodFailed, false},
		{"Never of a pod that always does", v1.RestartPolicyAlways, never, nil, 0, v1.PodSucceeded, false},
		{"OnFailure, failed", v1.RestartPolicyNever, onFailure, nil, 1, v1.PodRunning, true},
		{"OnFailure", v1.RestartPolicyAlways, onFailure, nil, 0, v1.PodSucceeded, false},
		{"a rule names the code", v1.RestartPolicyNever, never, rules(in, 41, 42), 42, v1.PodRunning, true},
		{"a rule names another", v1.RestartPolicyNever, never, rules(in, 41), 42, v1.PodFailed, false},
		{"a rule excepts the code", v1.RestartPolicyNever, never, rules(notIn, 42), 42, v1.PodFailed, false},
		{"a rule excepts another", v1.RestartPolicyNever, never, rules(notIn, 41), 42, v1.PodRunning, true},
	} {
		s := seen(c.pod, exited(c.code))
		s.Pod.Spec.Containers[0].RestartPolicy, s.Pod.Spec.Containers[0].RestartPolicyRules = &c.own, c.rules
		next := plan(s, noon)
		if (len(next.start) == 1) != c.again || next.finished == c.again {
			t.Errorf("%s: starts %d, finished %v", c.name, len(next.start), next.finished)
		}
		if got := s.status(noon); got.Phase != c.phase {
			t.Errorf("%s: phase %s, want %s", c.name, got.Phase, c.phase)
		}
	}
}
