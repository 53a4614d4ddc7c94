package builtin

import (
	"testing"

	"wheelhouse/cluster/api/core"
)

func TestInvalidQuotas(t *testing.T) {
	const exists = `must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ` +
		`ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`
	runInvalid(t, core.ResourceQuotas, []invalidCase{
		{"priority classes", `{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}}`, ""},
		{"no quota's", `{spec: {hard: {nope: "1"}}}`, `spec.hard[nope]: Invalid value: "nope": must be a standard resource type or fully qualified` + "\n" + `spec.hard[nope]: Invalid value: "nope": must be a standard resource for quota`},
		{"storage without requests", `{spec: {hard: {storage: 1Gi}}}`, `spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota`},
		{"scopes", `{spec: {scopes: [Terminating, NotTerminating]}}`, `spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes`},
		{"secrets have no deadline", `{spec: {hard: {secrets: 1}, scopes: [Terminating]}}`, `spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource`},
		{"best effort has no cpu", `{spec: {scopes: [BestEffort]}}`, `spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource`},
		{"claims have attributes", `{spec: {hard: {pods: null, cpu: null, requests.storage: 5Gi, persistentvolumeclaims: 1}, scopeSelector: {matchExpressions: [{scopeName: VolumeAttributesClass, operator: In, values: [gold]}]}}}`, ""},
		{"pods have none", `{spec: {hard: {cpu: null}, scopes: [VolumeAttributesClass]}}`, `spec.scopes: Invalid value: ["VolumeAttributesClass"]: unsupported scope applied to resource`},
		{"scope by selector", `{spec: {scopeSelector: {matchExpressions: [{scopeName: x, operator: Exists}]}}}`, `spec.scopeSelector.matchExpressions.scopeName: Invalid value: "x": unsupported scope`},
		{"deadline in", `{spec: {scopeSelector: {matchExpressions: [{scopeName: Terminating, operator: In, values: [a]}]}}}`, `spec.scopeSelector.matchExpressions.operator: Invalid value: "In": ` + exists},
		{"in nothing", `{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}}`, "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"},
		{"exists as", `{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: Exists, values: [a]}]}}}`, `spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when ` + "`operator` is 'Exist' or 'DoesNotExist' for scope selector"},
		{"operator", `{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: x}]}}}`, `spec.scopeSelector.matchExpressions.operator: Invalid value: "x": not a valid selector operator`},
	})
	runUpdates(t, []updateCase{
		{core.ResourceQuotas, "other scopes", `{}`, `{spec: {scopes: [Terminating]}}`, `spec.scopes: Invalid value: ["Terminating"]: field is immutable`},
		{core.ResourceQuotas, "scopes in another order", `{spec: {scopes: [Terminating, NotBestEffort]}}`, `{spec: {scopes: [NotBestEffort, Terminating]}}`, ""},
	})
}
