package builtin

import (
	"strings"
	"testing"

	"wheelhouse/cluster/api/batch"
)

func TestInvalidJobs(t *testing.T) {
	const indexed = `completionMode: Indexed, completions: 5, `
	runInvalid(t, batch.Jobs, []invalidCase{
		{"valid", `{}`, ""},
		{"valid with indexes", `{spec: {` + indexed + `backoffLimitPerIndex: 1, maxFailedIndexes: 2}}`, ""},
		{"always", `{spec: {template: {spec: {restartPolicy: Always}}}}`, `spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`},
		{"nothing set", `{spec: {template: {spec: {restartPolicy: null}}}}`, `spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`},
		{
			"sometimes", `{spec: {template: {spec: {restartPolicy: Sometimes}}}}`,
			`spec.template.spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"` + "\n" +
				`spec.template.spec.restartPolicy: Unsupported value: "Sometimes": supported values: "OnFailure", "Never"`,
		},
		{"parallelism", `{spec: {parallelism: -1}}`, "spec.parallelism: Invalid value: -1: " + notLess},
		{"completions", `{spec: {completions: -1}}`, "spec.completions: Invalid value: -1: " + notLess},
		{"deadline", `{spec: {activeDeadlineSeconds: -1}}`, "spec.activeDeadlineSeconds: Invalid value: -1: " + notLess},
		{"backoff", `{spec: {backoffLimit: -1}}`, "spec.backoffLimit: Invalid value: -1: " + notLess},
		{"ttl", `{spec: {ttlSecondsAfterFinished: -1}}`, "spec.ttlSecondsAfterFinished: Invalid value: -1: " + notLess},
		{"backoff per index", `{spec: {` + indexed + `backoffLimitPerIndex: -1}}`, "spec.backoffLimitPerIndex: Invalid value: -1: " + notLess},
		{"failed indexes", `{spec: {` + indexed + `backoffLimitPerIndex: 1, maxFailedIndexes: -1}}`, "spec.maxFailedIndexes: Invalid value: -1: " + notLess},
		{"failed indexes alone", `{spec: {` + indexed + `maxFailedIndexes: 1}}`, "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"},
		{"more failed than there are", `{spec: {` + indexed + `backoffLimitPerIndex: 1, maxFailedIndexes: 6}}`, "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"},
		{"per index without indexes", `{spec: {backoffLimitPerIndex: 1}}`, "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"},
		{
			"failed without indexes", `{spec: {backoffLimitPerIndex: 1, maxFailedIndexes: 1}}`,
			"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode\nspec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
		},
		{"mode", `{spec: {completionMode: Sorted}}`, `spec.completionMode: Unsupported value: "Sorted": supported values: "NonIndexed", "Indexed"`},
		{"indexes without an end", `{spec: {completionMode: Indexed, parallelism: 2}}`, "spec.completions: Required value: when completion mode is Indexed"},
		{"indexes in parallel", `{spec: {` + indexed + `parallelism: 100001}}`, "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"},
		{
			"many indexes", `{spec: {completionMode: Indexed, completions: 100001, backoffLimitPerIndex: 1, parallelism: 10001}}`,
			"spec.maxFailedIndexes: Required value: must be specified when completions is above 100000\n" +
				"spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
		},
		{
			"name too long for indexes", `{metadata: {name: ` + strings.Repeat("a", 62) + `}, spec: {` + indexed + `}}`,
			`metadata.name: Invalid value: "` + strings.Repeat("a", 62) + `": will not able to create pod with invalid DNS label: ` + strings.Repeat("a", 62) + "-4",
		},
		{"manager", `{spec: {managedBy: me}}`, `spec.managedBy: Invalid value: "me": must be a domain-prefixed path...`},
		{"long manager", `{spec: {managedBy: a.b/` + strings.Repeat("c", 60) + `}}`, "spec.managedBy: Too long: may not be more than 63 bytes"},
		{"replacement", `{spec: {podReplacementPolicy: Never}}`, `spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"`},
		{
			"own selector", `{spec: {selector: {matchLabels: {a: b}}}}`,
			`spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u"}}: ` + "`selector` not auto-generated\n" +
				`spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"j"}: ` + noMatch,
		},
		{"own selector, meant", `{spec: {manualSelector: true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}`, ""},
		{
			"meant, but none", `{spec: {manualSelector: true}}`,
			"spec.selector: Required value\nspec.template.metadata.labels: Invalid value: null: " + noMatch,
		},
		{
			"somebody else's label", `{spec: {template: {metadata: {labels: {job-name: other}}}}}`,
			`spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"other"}: must be 'j'`,
		},
	})
}

func TestInvalidJobPolicies(t *testing.T) {
	const at = "spec.podFailurePolicy.rules[0]."
	rule := func(r string) string { return `{spec: {podFailurePolicy: {rules: [` + r + `]}}}` }
	success := func(r string) string {
		return `{spec: {completionMode: Indexed, completions: 5, successPolicy: {rules: [` + r + `]}}}`
	}
	const atSuccess = "spec.successPolicy.rules[0]"
	runInvalid(t, batch.Jobs, []invalidCase{
		{"codes", rule(`{action: FailJob, onExitCodes: {operator: In, values: [1, 42]}}`), ""},
		{"conditions", rule(`{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}`), ""},
		{"no action", rule(`{onExitCodes: {operator: In, values: [1]}}`), at + `action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]`},
		{"action", rule(`{action: Stop, onExitCodes: {operator: In, values: [1]}}`), at + `action: Unsupported value: "Stop": supported values: "Count", "FailIndex", "FailJob", "Ignore"`},
		{"action of indexes", rule(`{action: FailIndex, onExitCodes: {operator: In, values: [1]}}`), at + `action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set`},
		{"neither", rule(`{action: Count}`), "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"},
		{
			"both", rule(`{action: Count, onExitCodes: {operator: In, values: [1]}, onPodConditions: [{type: a}]}`),
			"spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
		},
		{"operator", rule(`{action: Count, onExitCodes: {operator: Like, values: [1]}}`), at + `onExitCodes.operator: Unsupported value: "Like": supported values: "In", "NotIn"`},
		{"no operator", rule(`{action: Count, onExitCodes: {values: [1]}}`), at + `onExitCodes.operator: Required value: valid values: ["In" "NotIn"]`},
		{"no codes", rule(`{action: Count, onExitCodes: {operator: In}}`), at + "onExitCodes.values: Invalid value: null: at least one value is required"},
		{"zero", rule(`{action: Count, onExitCodes: {operator: In, values: [0, 1]}}`), at + "onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"},
		{"twice", rule(`{action: Count, onExitCodes: {operator: In, values: [1, 1]}}`), at + "onExitCodes.values[1]: Duplicate value: 1"},
		{"order", rule(`{action: Count, onExitCodes: {operator: In, values: [2, 1]}}`), at + "onExitCodes.values: Invalid value: [2,1]: must be ordered"},
		{"container", rule(`{action: Count, onExitCodes: {containerName: x, operator: In, values: [1]}}`), at + `onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template`},
		{"condition", rule(`{action: Count, onPodConditions: [{type: "-"}]}`), at + `onPodConditions[0].type: Invalid value: "-": name part must consist of...`},
		{"condition's status", rule(`{action: Count, onPodConditions: [{type: a, status: Perhaps}]}`), at + `onPodConditions[0].status: Unsupported value: "Perhaps": supported values: "False", "True", "Unknown"`},
		{
			"restarts", `{spec: {podFailurePolicy: {rules: []}, template: {spec: {restartPolicy: OnFailure}}}}`,
			`spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified`,
		},
		{
			"replacement", `{spec: {podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: []}}}`,
			`spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"`,
		},
		{"too many rules", rule(strings.Repeat(`{action: Count, onPodConditions: [{type: a}]}, `, 21)), "spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"},

		{"success", success(`{succeededCount: 2, succeededIndexes: "0-2"}`), ""},
		{"success without indexes", `{spec: {successPolicy: {rules: [{succeededCount: 1}]}}}`, `spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode`},
		{"success of nothing", success(``), "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"},
		{"empty rule", success(`{}`), atSuccess + ": Required value: at least one of succeededCount or succeededIndexes must be specified"},
		{"count", success(`{succeededCount: -1}`), atSuccess + ".succeededCount: Invalid value: -1: " + notLess},
		{"count above all", success(`{succeededCount: 6}`), atSuccess + ".succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)"},
		{
			"count above the named", success(`{succeededCount: 3, succeededIndexes: "1,3"}`),
			atSuccess + ".succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
		},
		{"index", success(`{succeededIndexes: "5"}`), atSuccess + `.succeededIndexes: Invalid value: "5": error parsing succeededIndexes: too large index: "5"`},
		{"indexes backwards", success(`{succeededIndexes: "3,1"}`), atSuccess + `.succeededIndexes: Invalid value: "3,1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1`},
		{"range backwards", success(`{succeededIndexes: "3-1"}`), atSuccess + `.succeededIndexes: Invalid value: "3-1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1`},
		{"words", success(`{succeededIndexes: all}`), atSuccess + `.succeededIndexes: Invalid value: "all": error parsing succeededIndexes: cannot convert string to integer for index: "all"`},
		{
			"range of three", success(`{succeededIndexes: "1-2-3"}`),
			atSuccess + `.succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
		},
	})
}

func TestInvalidCronJobs(t *testing.T) {
	const at = "spec.jobTemplate.spec."
	runInvalid(t, batch.CronJobs, []invalidCase{
		{"valid", `{}`, ""},
		{"every five minutes", `{spec: {schedule: "@every 5m", timeZone: Europe/Berlin}}`, ""},
		{"long name", `{metadata: {name: ` + strings.Repeat("a", 53) + `}}`, `metadata.name: Invalid value: "` + strings.Repeat("a", 53) + `": must be no more than 52 characters`},
		{"no schedule", `{spec: {schedule: null}}`, "spec.schedule: Required value"},
		{"four fields", `{spec: {schedule: "* * * *"}}`, `spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]`},
		{"minute 60", `{spec: {schedule: "60 * * * *"}}`, `spec.schedule: Invalid value: "60 * * * *": end of range (60) above maximum (59): 60`},
		{"malformed", `{spec: {schedule: "every day at noon ok"}}`, `spec.schedule: Invalid value: "every day at noon ok": failed to parse int from every...`},
		{"unknown word", `{spec: {schedule: "@often"}}`, `spec.schedule: Invalid value: "@often": unrecognized descriptor: @often`},
		{"zone in the schedule", `{spec: {schedule: "TZ=UTC * * * * *"}}`, `spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`},
		{"zone alone", `{spec: {schedule: "TZ=UTC"}}`, `spec.schedule: Invalid value: "TZ=UTC": cannot use TZ or CRON_TZ in schedule, use timeZone field instead`},
		{"empty zone", `{spec: {timeZone: ""}}`, `spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string`},
		{"zone", `{spec: {timeZone: Europe/Atlantis}}`, `spec.timeZone: Invalid value: "Europe/Atlantis": unknown time zone Europe/Atlantis`},
		{"way out", `{spec: {timeZone: ../etc}}`, `spec.timeZone: Invalid value: "../etc": unknown time zone ../etc`},
		{"local", `{spec: {timeZone: Local}}`, `spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones`},
		{"starting deadline", `{spec: {startingDeadlineSeconds: -1}}`, "spec.startingDeadlineSeconds: Invalid value: -1: " + notLess},
		{"concurrency", `{spec: {concurrencyPolicy: Queue}}`, `spec.concurrencyPolicy: Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"`},
		{"successful jobs", `{spec: {successfulJobsHistoryLimit: -1}}`, "spec.successfulJobsHistoryLimit: Invalid value: -1: " + notLess},
		{"failed jobs", `{spec: {failedJobsHistoryLimit: -1}}`, "spec.failedJobsHistoryLimit: Invalid value: -1: " + notLess},
		{"job always restarts", `{spec: {jobTemplate: {spec: {template: {spec: {restartPolicy: Always}}}}}}`, at + `template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`},
		{"job without containers", `{spec: {jobTemplate: {spec: {template: {spec: {containers: null}}}}}}`, at + "template.spec.containers: Required value"},
		{"job's selector", `{spec: {jobTemplate: {spec: {selector: {matchLabels: {a: b}}}}}}`, at + `selector: Invalid value: {"matchLabels":{"a":"b"}}: ` + "`selector` will be auto-generated"},
		{"job's own selector", `{spec: {jobTemplate: {spec: {manualSelector: true}}}}`, at + `manualSelector: Unsupported value: true: supported values: "nil", "false"`},
		{"job's parallelism", `{spec: {jobTemplate: {spec: {parallelism: -1}}}}`, at + "parallelism: Invalid value: -1: " + notLess},
		{"job's backoff", `{spec: {jobTemplate: {spec: {backoffLimit: -1}}}}`, at + "backoffLimit: Invalid value: -1: " + notLess},
	})
}
