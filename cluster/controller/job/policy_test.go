package job

import (
	"testing"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
)

func TestJudge(t *testing.T) {
	exits := func(a batch.PodFailurePolicyAction, container string, op batch.PodFailurePolicyOnExitCodesOperator, codes ...int32) batch.PodFailurePolicyRule {
		r := onExit(a, op, codes...)
		if container != "" {
			r.OnExitCodes.ContainerName = &container
		}
		return r
	}
	const in, notIn = batch.PodFailurePolicyOnExitCodesOpIn, batch.PodFailurePolicyOnExitCodesOpNotIn
	const failJob, ignore, count = batch.PodFailurePolicyActionFailJob, batch.PodFailurePolicyActionIgnore, batch.PodFailurePolicyActionCount
	tests := []struct {
		name  string
		rules []batch.PodFailurePolicyRule
		pod   string
		want  failureResult
	}{
		{"no rule", nil, "a:bad:exit=1", failureResult{counts: true}},
		{"another code", []batch.PodFailurePolicyRule{exits(ignore, "", in, 2)}, "a:bad:exit=1", failureResult{counts: true}},
		{"the code", []batch.PodFailurePolicyRule{exits(ignore, "", in, 1, 2)}, "a:bad:exit=1", failureResult{}},
		{"another container", []batch.PodFailurePolicyRule{exits(ignore, "x", in, 1)}, "a:bad:exit=1", failureResult{counts: true}},
		{"the container", []batch.PodFailurePolicyRule{exits(ignore, "c", in, 1)}, "a:bad:exit=1", failureResult{}},
		{"none of the codes", []batch.PodFailurePolicyRule{exits(ignore, "", notIn, 2, 3)}, "a:bad:exit=1", failureResult{}},
		{"one of the codes", []batch.PodFailurePolicyRule{exits(ignore, "", notIn, 1, 3)}, "a:bad:exit=1", failureResult{counts: true}},
		{"a container that ended well is not asked", []batch.PodFailurePolicyRule{exits(ignore, "", notIn, 1)}, "a:bad:exit=0", failureResult{counts: true}},
		{"the first that matches", []batch.PodFailurePolicyRule{exits(count, "", in, 1), exits(failJob, "", in, 1)}, "a:bad:exit=1", failureResult{counts: true}},
		{"the job fails", []batch.PodFailurePolicyRule{exits(ignore, "", in, 9), exits(failJob, "", in, 1)}, "a:bad:exit=1", failureResult{
			counts: true, failJob: "Container c for pod ns/a failed with exit code 1 matching FailJob rule at index 1",
		}},
		{"evicted", []batch.PodFailurePolicyRule{{Action: failJob, OnPodConditions: []batch.PodFailurePolicyOnPodConditionsPattern{
			{Type: v1.DisruptionTarget, Status: v1.ConditionTrue},
		}}}, "a:bad:evicted", failureResult{counts: true, failJob: "Pod ns/a has condition DisruptionTarget matching FailJob rule at index 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := newJob(1, 1, rules(tt.rules...))
			if got := matchPolicy(j.Spec.PodFailurePolicy, pods(j, tt.pod)[0]); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestEnough(t *testing.T) {
	tests := []struct {
		name      string
		indexes   string
		count     int32
		succeeded string
		want      bool
	}{
		{"all of some", "0,2", 0, "0-2", true},
		{"not all of some", "0,2", 0, "0,1", false},
		{"some of some", "0-3", 2, "1,3,5", true},
		{"too few of some", "0-3", 2, "1,5,6", false},
		{"as many as that", "", 3, "4-6", true},
		{"fewer", "", 3, "4,5", false},
		{"none yet", "", 1, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rule batch.SuccessPolicyRule
			if tt.indexes != "" {
				rule.SucceededIndexes = &tt.indexes
			}
			if tt.count > 0 {
				rule.SucceededCount = &tt.count
			}
			never := batch.SuccessPolicyRule{SucceededCount: ptr(int32(10))}
			why := successRule(&batch.SuccessPolicy{Rules: []batch.SuccessPolicyRule{never, rule}}, 10, parseIndexes(tt.succeeded, 10))
			if want := map[bool]string{true: "Matched rules at index 1"}[tt.want]; why != want {
				t.Errorf("got %q, want %q", why, want)
			}
		})
	}
}
