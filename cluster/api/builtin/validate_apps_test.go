package builtin

import (
	"testing"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/policy"
)

const (
	notLess      = "must be greater than or equal to 0"
	noMatch      = "`selector` does not match template `labels`"
	labelMessage = "a valid label must be an empty string or consist of..."
)

// sets has the kinds with a pod template, each with the word for it in the error about an empty selector.
var sets = map[*api.Kind]string{apps.ReplicaSets: "deployment", apps.Deployments: "deployment", apps.DaemonSets: "daemonset", apps.StatefulSets: "statefulset"}

func TestInvalidSets(t *testing.T) {
	for k, word := range sets {
		deadline := map[*api.Kind]string{apps.DaemonSets: "DaemonSet", apps.StatefulSets: "StatefulSet"}[k]
		if deadline == "" {
			deadline = "ReplicaSet"
		}
		badLabel := `spec.template.labels: Invalid value: "-": name part must consist of alphanumeric characters...`
		if k == apps.StatefulSets {
			badLabel += "\n" + badLabel // upstream validates the labels twice
		}
		runInvalid(t, k, []invalidCase{
			{"valid", `{}`, ""},
			{"name", `{metadata: {name: A}}`, `metadata.name: Invalid value: "A": a lowercase RFC 1123...`},
			{"label", `{metadata: {labels: {a: "b c"}}}`, `metadata.labels: Invalid value: "b c": ` + labelMessage},
			{
				"empty selector", `{spec: {selector: {matchLabels: null}}}`,
				"spec.selector: Invalid value: {}: empty selector is invalid for " + word,
			},
			{
				"selector of others", `{spec: {selector: {matchLabels: {x: y}}}}`,
				`spec.template.metadata.labels: Invalid value: {"a":"b"}: ` + noMatch,
			},
			{
				"expression of others", `{spec: {selector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}}}`,
				`spec.template.metadata.labels: Invalid value: {"a":"b"}: ` + noMatch,
			},
			{"pods that complete", `{spec: {template: {spec: {restartPolicy: OnFailure}}}}`, `spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"`},
			{"deadline", `{spec: {template: {spec: {activeDeadlineSeconds: 5}}}}`, "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in " + deadline + " is not Supported"},
			{"minReadySeconds", `{spec: {minReadySeconds: -1}}`, "spec.minReadySeconds: Invalid value: -1: " + notLess},
			{"no containers", `{spec: {template: {spec: {containers: null}}}}`, "spec.template.spec.containers: Required value"},
			{"template's label", `{spec: {template: {metadata: {labels: {"-": b}}}}}`, badLabel},
			{
				"ephemeral containers", `{spec: {template: {spec: {ephemeralContainers: [{name: e, image: i}]}}}}`,
				"spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
			},
			{"mount of nothing", `{spec: {template: {spec: {containers: [{name: c, image: i, volumeMounts: [{name: www, mountPath: /www}]}]}}}}`, `spec.template.spec.containers[0].volumeMounts[0].name: Not found: "www"`},
		})
	}
}

func TestInvalidReplicaSetsAndDeployments(t *testing.T) {
	for _, k := range []*api.Kind{apps.ReplicaSets, apps.Deployments} {
		runInvalid(t, k, []invalidCase{
			{"replicas", `{spec: {replicas: -1}}`, "spec.replicas: Invalid value: -1: " + notLess},
			{
				"no selector", `{spec: {selector: null}}`,
				"spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: " + noMatch,
			},
			{
				"operator", `{spec: {selector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}}}`,
				"spec.selector.matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator\n" +
					`spec.selector: Invalid value: {"matchLabels":{"a":"b"},"matchExpressions":[{"key":"a","operator":"Like","values":["b"]}]}: invalid label selector`,
			},
			{
				"operator without values", `{spec: {selector: {matchExpressions: [{key: a, operator: In}]}}}`,
				"spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'\nspec.selector: Invalid value...",
			},
			{
				"values of a question for being there", `{spec: {selector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}}`,
				"spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'\nspec.selector: Invalid value...",
			},
			{
				"value", `{spec: {selector: {matchLabels: {a: "b c"}}}}`,
				`spec.selector.matchLabels: Invalid value: "b c": a valid label must be...` + "\nspec.selector: Invalid value...",
			},
		})
	}
}

func TestInvalidDeployments(t *testing.T) {
	const at = "spec.strategy.rollingUpdate."
	runInvalid(t, apps.Deployments, []invalidCase{
		{"strategy", `{spec: {strategy: {type: Rolling}}}`, `spec.strategy: Unsupported value: {"type":"Rolling"}: supported values: "Recreate", "RollingUpdate"`},
		{"recreate with numbers", `{spec: {strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}}}`, "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
		{"both nothing", `{spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}}}`, at + "maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"},
		{"both nothing in percent", `{spec: {strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0%}}}}`, at + "maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"},
		{"more than all unavailable", `{spec: {strategy: {rollingUpdate: {maxUnavailable: 101%}}}}`, at + `maxUnavailable: Invalid value: "101%": must not be greater than 100%`},
		{"twice as many", `{spec: {strategy: {rollingUpdate: {maxSurge: 200%}}}}`, ""},
		{"negative", `{spec: {strategy: {rollingUpdate: {maxUnavailable: -1}}}}`, at + "maxUnavailable: Invalid value: -1: " + notLess},
		{"negative surge", `{spec: {strategy: {rollingUpdate: {maxSurge: -2}}}}`, at + "maxSurge: Invalid value: -2: " + notLess},
		{"malformed", `{spec: {strategy: {rollingUpdate: {maxSurge: some}}}}`, at + `maxSurge: Invalid value: "some": a valid percent string must be a numeric string followed by an ending '%'...`},
		{"history", `{spec: {revisionHistoryLimit: -1}}`, "spec.revisionHistoryLimit: Invalid value: -1: " + notLess},
		{"no history", `{spec: {revisionHistoryLimit: 0}}`, ""},
		{"deadline", `{spec: {progressDeadlineSeconds: 0}}`, "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"},
		{
			"negative deadline", `{spec: {progressDeadlineSeconds: -5}}`,
			"spec.progressDeadlineSeconds: Invalid value: -5: " + notLess + "\nspec.progressDeadlineSeconds: Invalid value: -5: must be greater than minReadySeconds",
		},
		{"deadline before ready", `{spec: {minReadySeconds: 60, progressDeadlineSeconds: 60}}`, "spec.progressDeadlineSeconds: Invalid value: 60: must be greater than minReadySeconds"},
	})
}

func TestInvalidDaemonSets(t *testing.T) {
	const at = "spec.updateStrategy.rollingUpdate."
	runInvalid(t, apps.DaemonSets, []invalidCase{
		{"no selector", `{spec: {selector: null}}`, `spec.template.metadata.labels: Invalid value: {"a":"b"}: ` + noMatch},
		{"strategy", `{spec: {updateStrategy: {type: Recreate}}}`, `spec.updateStrategy: Unsupported value: {"type":"Recreate"}: supported values: "RollingUpdate", "OnDelete"`},
		{"on delete", `{spec: {updateStrategy: {type: OnDelete}}}`, ""},
		{"surge and unavailable", `{spec: {updateStrategy: {rollingUpdate: {maxSurge: 1}}}}`, at + "maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"},
		{"neither", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}`, at + "maxUnavailable: Required value: cannot be 0 when maxSurge is 0"},
		{"surge alone", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 10%}}}}`, ""},
		{
			"too many", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 110%}}}}`,
			at + `maxSurge: Invalid value: "110%": must not be greater than 100%`,
		},
		{"negative", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: -1}}}}`, at + "maxUnavailable: Invalid value: -1: " + notLess},
		{"history", `{spec: {revisionHistoryLimit: -1}}`, "spec.revisionHistoryLimit: Invalid value: -1: " + notLess},
	})
}

func TestInvalidStatefulSets(t *testing.T) {
	const at = "spec.updateStrategy.rollingUpdate."
	claim := func(spec string) string {
		return `{spec: {template: {spec: {containers: [{name: c, image: i, volumeMounts: [{name: www, mountPath: /www}]}]}},
		  volumeClaimTemplates: [{metadata: {name: www}, spec: ` + spec + `}]}}`
	}
	runInvalid(t, apps.StatefulSets, []invalidCase{
		{"dots in the name", `{metadata: {name: a.b}}`, `metadata.name: Invalid value: "a.b": must not contain dots`},
		{"replicas", `{spec: {replicas: -1}}`, "spec.replicas: Invalid value: -1: " + notLess},
		{
			"no selector", `{spec: {selector: null}}`,
			"spec.selector: Required value\nspec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: " + noMatch,
		},
		{"management", `{spec: {podManagementPolicy: Random}}`, `spec.podManagementPolicy: Invalid value: "Random": must be 'OrderedReady' or 'Parallel'`},
		{"strategy", `{spec: {updateStrategy: {type: Recreate}}}`, `spec.updateStrategy: Invalid value: {"type":"Recreate"}: must be 'RollingUpdate' or 'OnDelete'`},
		{"numbers of a strategy without", `{spec: {updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}}}`, `spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'`},
		{"partition", `{spec: {updateStrategy: {rollingUpdate: {partition: -1}}}}`, at + "partition: Invalid value: -1: " + notLess},
		{"none at a time", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}`, at + "maxUnavailable: Invalid value: 0: cannot be 0"},
		{"more than all", `{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 200%}}}}`, at + `maxUnavailable: Invalid value: "200%": must not be greater than 100%`},
		{"retention when deleted", `{spec: {persistentVolumeClaimRetentionPolicy: {whenDeleted: Keep}}}`, `spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: "Retain", "Delete"`},
		{"retention when scaled", `{spec: {persistentVolumeClaimRetentionPolicy: {whenScaled: Keep}}}`, `spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": supported values: "Retain", "Delete"`},
		{"first ordinal", `{spec: {ordinals: {start: -1}}}`, "spec.ordinals.start: Invalid value: -1: " + notLess},
		{"service", `{spec: {serviceName: a.b}}`, `spec.serviceName: Invalid value: "a.b": must not contain dots`},
		{"no service", `{spec: {serviceName: null}}`, ""},
		{"all history", `{spec: {revisionHistoryLimit: -1}}`, ""},
		{"claim", claim(`{accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`), ""},
		{"claim without a size", claim(`{accessModes: [ReadWriteOnce]}`), "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"},
		{"claim without a mode", claim(`{resources: {requests: {storage: 1Gi}}}`), "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"},
	})
}

func TestInvalidControllerRevisions(t *testing.T) {
	runInvalid(t, apps.ControllerRevisions, []invalidCase{
		{"valid", `{}`, ""},
		{"revision", `{revision: -1}`, "revision: Invalid value: -1: " + notLess},
		{"no data", `{data: null}`, "data: Required value: data is mandatory"},
	})
}

func TestInvalidBudgets(t *testing.T) {
	runInvalid(t, policy.PodDisruptionBudgets, []invalidCase{
		{"valid", `{}`, ""},
		{"all pods", `{spec: {selector: {matchLabels: null}}}`, ""},
		{"nothing set", `{spec: {minAvailable: null}}`, ""},
		{"both", `{spec: {maxUnavailable: 1}}`, `spec: Invalid value: {"minAvailable":1,"selector":{"matchLabels":{"a":"b"}},"maxUnavailable":1}: minAvailable and maxUnavailable cannot be both set`},
		{"negative", `{spec: {minAvailable: -1}}`, "spec.minAvailable: Invalid value: -1: " + notLess},
		{"more than all", `{spec: {minAvailable: 101%}}`, `spec.minAvailable: Invalid value: "101%": must not be greater than 100%`},
		{"malformed", `{spec: {minAvailable: most}}`, `spec.minAvailable: Invalid value: "most": a valid percent string must be a numeric string followed by an ending '%'...`},
		{"negative unavailable", `{spec: {minAvailable: null, maxUnavailable: -1}}`, "spec.maxUnavailable: Invalid value: -1: " + notLess},
		{"all unavailable", `{spec: {minAvailable: null, maxUnavailable: 300%}}`, `spec.maxUnavailable: Invalid value: "300%": must not be greater than 100%`},
		{"selector", `{spec: {selector: {matchLabels: {a: "b c"}}}}`, `spec.selector.matchLabels: Invalid value: "b c": ` + labelMessage},
		{"operator", `{spec: {selector: {matchExpressions: [{key: a, operator: Like}]}}}`, `spec.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`},
		{"eviction", `{spec: {unhealthyPodEvictionPolicy: Never}}`, `spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"`},
	})
}
