package job

import (
	"fmt"
	"slices"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
)

// failureResult is the result of the podFailurePolicy for a failed pod.
type failureResult struct {
	counts  bool   // towards the backoffLimit
	index   bool   // its index has failed for good
	failJob string // why the whole job has failed, or ""
}

// matchPolicy returns the result of the first rule that matches; without one the failure counts.
func matchPolicy(p *batch.PodFailurePolicy, pod *v1.Pod) failureResult {
	if p == nil {
		return failureResult{counts: true}
	}
	for i, rule := range p.Rules {
		why := matches(&rule, pod)
		if why == "" {
			continue
		}
		switch rule.Action {
		case batch.PodFailurePolicyActionIgnore:
			return failureResult{}
		case batch.PodFailurePolicyActionFailIndex:
			return failureResult{counts: true, index: true}
		case batch.PodFailurePolicyActionFailJob:
			return failureResult{counts: true, failJob: fmt.Sprintf("%s matching %s rule at index %d", why, rule.Action, i)}
		}
		return failureResult{counts: true}
	}
	return failureResult{counts: true}
}

// matches returns why the rule matches, or "".
func matches(rule *batch.PodFailurePolicyRule, pod *v1.Pod) string {
	if r := rule.OnExitCodes; r != nil {
		for _, s := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
			t := s.State.Terminated
			if t == nil || t.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != s.Name {
				continue
			}
			if slices.Contains(r.Values, t.ExitCode) == (r.Operator == batch.PodFailurePolicyOnExitCodesOpIn) {
				return fmt.Sprintf("Container %s for pod %s/%s failed with exit code %d", s.Name, pod.Namespace, pod.Name, t.ExitCode)
			}
		}
		return ""
	}
	for _, pattern := range rule.OnPodConditions {
		for _, c := range pod.Status.Conditions {
			if c.Type == pattern.Type && c.Status == pattern.Status {
				return fmt.Sprintf("Pod %s/%s has condition %s", pod.Namespace, pod.Name, c.Type)
			}
		}
	}
	return ""
}

// successRule returns by which rule the succeeded indexes complete the job, or "".
func successRule(p *batch.SuccessPolicy, completions int, succeeded indexes) string {
	if p == nil {
		return ""
	}
	for i, rule := range p.Rules {
		counted := succeeded
		need := 0
		if rule.SucceededIndexes != nil {
			required := parseIndexes(*rule.SucceededIndexes, completions)
			counted, need = succeeded.both(required), required.total()
		}
		if rule.SucceededCount != nil {
			need = int(*rule.SucceededCount)
		}
		if need > 0 && counted.total() >= need {
			return fmt.Sprintf("Matched rules at index %d", i)
		}
	}
	return ""
}
