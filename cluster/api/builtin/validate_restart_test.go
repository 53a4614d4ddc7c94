package builtin

import (
	"fmt"
	"strings"
	"testing"

	"wheelhouse/cluster/api/core"
)

func TestInvalidRestartPolicies(t *testing.T) {
	const at = "spec.containers[0]."
	own := func(fields string) string { return inContainer("restartPolicy: Never, " + fields) }
	sidecar := func(fields string) string {
		return `{spec: {initContainers: [{name: s, image: i, restartPolicy: Always, ` + fields + `}]}}`
	}
	rule := "{action: Restart, exitCodes: {operator: In, values: [1]}}"
	var codes []string
	for i := range 256 {
		codes = append(codes, fmt.Sprint(i))
	}
	runInvalid(t, core.Pods, []invalidCase{
		{"of its own", inContainer("restartPolicy: OnFailure"), ""},
		{"with a rule", own("restartPolicyRules: [" + rule + "]"), ""},
		{"unknown", inContainer("restartPolicy: Sometimes"), at + `restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"`},
		{"rules alone", inContainer("restartPolicyRules: [" + rule + "]"), at + "restartPolicy: Required value: must specify restartPolicy when restart rules are used"},
		{"rules of a sidecar", sidecar("restartPolicyRules: [" + rule + "]"), "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with restart policy Always"},
		{"too many rules", own("restartPolicyRules: [" + strings.Repeat(rule+", ", 20) + rule + "]"), at + "restartPolicyRules: Too many: 21: must have at most 20 items"},
		{"another action", own("restartPolicyRules: [{action: Stop, exitCodes: {operator: In}}]"), at + `restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart"`},
		{"of all containers, not served", own("restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In}}]"), at + `restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": supported values: "Restart"`},
		{"without codes", own("restartPolicyRules: [{action: Restart}]"), at + "restartPolicyRules[0].exitCodes: Required value: must be specified"},
		{"operator", own("restartPolicyRules: [{action: Restart, exitCodes: {operator: Like}}]"), at + `restartPolicyRules[0].exitCodes.operator: Unsupported value: "Like": supported values: "In", "NotIn"`},
		{"too many codes", own("restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [" + strings.Join(codes, ", ") + "]}}]"), at + "restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"},
	})
}
