package builtin

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/networking"
	"wheelhouse/cluster/api/policy"
)

// updateCase is an update of an object. The old and the new one are given as changes of the base.
type updateCase struct {
	kind                 *api.Kind
	name, old, new, want string
}

func runUpdates(t *testing.T, cases []updateCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.kind.Kind+"/"+c.name, func(t *testing.T) {
			old, obj := read(t, c.kind, c.old), read(t, c.kind, c.new)
			if errs := create(c.kind, old); len(errs) > 0 {
				t.Fatalf("the old one: %v", lines(errs))
			}
			if j, ok := obj.(*batchv1.Job); ok && j.Spec.Selector == nil {
				batch.Jobs.PrepareCreate(j) // as the server returns it to clients
			}
			old.SetResourceVersion("1")
			obj.SetResourceVersion("1")
			matches(t, update(c.kind, obj, old), c.want)
		})
	}
}

func TestInvalidUpdatesOfSets(t *testing.T) {
	const (
		identity = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', " +
			"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
		other = `{spec: {selector: {matchLabels: {a: null, x: z}}, template: {metadata: {labels: {a: null, x: z}}}}}`
	)
	var cases []updateCase
	for _, k := range []*api.Kind{apps.ReplicaSets, apps.Deployments, apps.DaemonSets} {
		cases = append(cases,
			updateCase{k, "image", `{}`, `{spec: {template: {spec: {containers: [{name: c, image: "busybox:2"}]}}}}`, ""},
			updateCase{k, "selector", `{}`, other, `spec.selector: Invalid value: {"matchLabels":{"x":"z"}}: field is immutable`},
			updateCase{k, "name", `{}`, `{metadata: {name: other}}`, `metadata.name: Invalid value: "other": field is immutable`})
	}
	runUpdates(t, append(cases, []updateCase{
		{apps.Deployments, "pause", `{}`, `{spec: {paused: true, replicas: 9}}`, ""},
		{apps.StatefulSets, "what may change", `{}`, `{spec: {replicas: 3, ordinals: {start: 2}, minReadySeconds: 1, revisionHistoryLimit: 3,
		  updateStrategy: {type: OnDelete}, persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}}}`, ""},
		{apps.StatefulSets, "selector", `{}`, other, identity},
		{apps.StatefulSets, "service", `{}`, `{spec: {serviceName: other}}`, identity},
		{apps.StatefulSets, "management", `{}`, `{spec: {podManagementPolicy: Parallel}}`, identity},
		{
			apps.StatefulSets, "claims", `{}`,
			`{spec: {volumeClaimTemplates: [{metadata: {name: www}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`, identity,
		},
		{apps.ControllerRevisions, "data", `{}`, `{data: {spec: {x: 1}}}`, `data: Invalid value: {"spec":{"x":1}}: field is immutable`},
		{apps.ControllerRevisions, "number", `{}`, `{revision: 2}`, ""},
		{policy.PodDisruptionBudgets, "selector", `{}`, `{spec: {selector: {matchLabels: {x: y}}}}`, ""},
		{policy.PodDisruptionBudgets, "both", `{}`, `{spec: {maxUnavailable: 1}}`, "spec: Invalid value..."},
		{autoscaling.HorizontalPodAutoscalers, "target", `{}`, `{spec: {scaleTargetRef: {name: other}}}`, ""},
		{autoscaling.HorizontalPodAutoscalers, "most", `{}`, `{spec: {minReplicas: 9}}`, "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"},
		{networking.IngressClasses, "controller", `{}`, `{spec: {controller: a.b/c}}`, `spec.controller: Invalid value: "a.b/c": field is immutable`},
		{networking.Ingresses, "class beside its annotation", `{}`, `{metadata: {annotations: {kubernetes.io/ingress.class: a}}, spec: {ingressClassName: a}}`, ""},
		{networking.Ingresses, "rules", `{}`, `{spec: {rules: null}}`, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"},
	}...))
}

func TestInvalidUpdatesOfJobs(t *testing.T) {
	const template = "spec.template: Invalid value..."
	suspended := func(weight int) string {
		return fmt.Sprintf(`{spec: {suspend: true, template: {spec: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: %d, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}}}}}`, weight)
	}
	runUpdates(t, []updateCase{
		{batch.Jobs, "parallelism", `{}`, `{spec: {parallelism: 3}}`, "spec.completions: Invalid value: null: field is immutable"},
		{batch.Jobs, "what may change", `{}`, `{spec: {completions: 1, parallelism: 3, suspend: true, backoffLimit: 1, activeDeadlineSeconds: 9, ttlSecondsAfterFinished: 1}}`, ""},
		{batch.Jobs, "completions", `{spec: {completions: 2}}`, `{spec: {completions: 3}}`, "spec.completions: Invalid value: 3: field is immutable"},
		{batch.Jobs, "indexes", `{spec: {completionMode: Indexed, completions: 2, parallelism: 2}}`, `{spec: {completionMode: Indexed, completions: 3, parallelism: 3}}`, ""},
		{
			batch.Jobs, "indexes alone", `{spec: {completionMode: Indexed, completions: 2, parallelism: 2}}`, `{spec: {completionMode: Indexed, completions: 3, parallelism: 2}}`,
			"spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
		},
		{batch.Jobs, "mode", `{spec: {completions: 1}}`, `{spec: {completions: 1, completionMode: Indexed}}`, `spec.completionMode: Invalid value: "Indexed": field is immutable`},
		{batch.Jobs, "image", `{}`, `{spec: {template: {spec: {containers: [{name: c, image: "busybox:2"}]}}}}`, template},
		{batch.Jobs, "node of a running job", `{}`, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, template},
		{batch.Jobs, "node of a suspended job", `{spec: {suspend: true}}`, `{spec: {suspend: true, template: {metadata: {annotations: {x: y}}, spec: {nodeSelector: {a: b}, tolerations: [{operator: Exists}],
		  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}}}}`, ""},
		{batch.Jobs, "node affinity of a suspended job, removed", suspended(1), `{spec: {suspend: true}}`, ""},
		{batch.Jobs, "node affinity of a suspended job, changed", suspended(1), suspended(2), ""},
		{batch.Jobs, "image of a suspended job", `{spec: {suspend: true}}`, `{spec: {template: {spec: {containers: [{name: c, image: "busybox:2"}]}}}}`, "spec.template.spec: Invalid value..."},
		{batch.Jobs, "resources of a suspended job", `{spec: {suspend: true}}`, `{spec: {template: {spec: {containers: [{name: c, image: "busybox:1", resources: {requests: {cpu: 1}}}]}}}}`, ""},
		{batch.Jobs, "resources of a running job", `{}`, `{spec: {template: {spec: {containers: [{name: c, image: "busybox:1", resources: {requests: {cpu: 1}}}]}}}}`, template},
		{batch.Jobs, "policy", `{}`, `{spec: {podReplacementPolicy: Failed, podFailurePolicy: {rules: []}}}`, `spec.podFailurePolicy: Invalid value: {"rules":[]}: field is immutable`},
		{batch.Jobs, "manager", `{}`, `{spec: {managedBy: a.b/c}}`, `spec.managedBy: Invalid value: "a.b/c": field is immutable`},
		{
			batch.Jobs, "backoff per index", `{spec: {completionMode: Indexed, completions: 2, backoffLimitPerIndex: 1}}`,
			`{spec: {completionMode: Indexed, completions: 2, backoffLimitPerIndex: 2}}`, "spec.backoffLimitPerIndex: Invalid value: 2: field is immutable",
		},
		{batch.CronJobs, "schedule", `{}`, `{spec: {schedule: "0 0 * * *", suspend: true}}`, ""},
		{batch.CronJobs, "zone", `{}`, `{spec: {timeZone: Nowhere}}`, `spec.timeZone: Invalid value: "Nowhere": unknown time zone Nowhere`},
	})
	old := read(t, batch.CronJobs, `{}`).(*batchv1.CronJob)
	create(batch.CronJobs, old)
	old.ResourceVersion, old.Spec.Schedule = "1", "TZ=UTC * * * * *" // stored before validation rejected it
	obj := read(t, batch.CronJobs, `{metadata: {resourceVersion: "1"}, spec: {schedule: "TZ=UTC 0 * * * *", timeZone: Europe/Berlin}}`)
	matches(t, update(batch.CronJobs, obj, old), `spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule`)
}

func TestInvalidStatus(t *testing.T) {
	const above = "cannot be greater than status.replicas"
	const start = `startTime: "2026-01-01T00:00:00Z"`
	complete := `conditions: [{type: SuccessCriteriaMet, status: "True"}, {type: Complete, status: "True"}]`
	for _, c := range []updateCase{
		{apps.ReplicaSets, "ready", `{}`, `{replicas: 1, readyReplicas: 2}`, "status.readyReplicas: Invalid value: 2: " + above},
		{apps.ReplicaSets, "negative", `{}`, `{replicas: -1}`, "status.replicas: Invalid value: -1: " + notLess + "\nstatus.fullyLabeledReplicas: Invalid value: 0: " + above +
			"\nstatus.readyReplicas: Invalid value: 0: " + above + "\nstatus.availableReplicas: Invalid value: 0: " + above},
		{apps.Deployments, "well", `{}`, `{replicas: 3, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 1, unavailableReplicas: 1, collisionCount: 1}`, ""},
		{apps.Deployments, "updated", `{}`, `{replicas: 1, updatedReplicas: 2}`, "status.updatedReplicas: Invalid value: 2: " + above},
		{apps.Deployments, "available", `{}`, `{replicas: 2, readyReplicas: 1, availableReplicas: 2}`, "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"},
		{apps.Deployments, "collisions", `{collisionCount: 2}`, `{collisionCount: 1}`, "status.collisionCount: Invalid value: 1: cannot be decremented"},
		{apps.Deployments, "collisions unset", `{collisionCount: 2}`, `{}`, "status.collisionCount: Invalid value: 0: cannot be decremented"},
		{apps.DaemonSets, "scheduled", `{}`, `{currentNumberScheduled: -1}`, "status.currentNumberScheduled: Invalid value: -1: " + notLess},
		{apps.DaemonSets, "collisions", `{collisionCount: 2}`, `{collisionCount: 1}`, "status.collisionCount: Invalid value: 1: cannot be decremented"},
		{apps.StatefulSets, "current", `{}`, `{replicas: 1, currentReplicas: 2}`, "status.currentReplicas: Invalid value: 2: " + above},
		{apps.StatefulSets, "available", `{}`, `{replicas: 2, readyReplicas: 1, availableReplicas: 2}`, "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"},
		{policy.PodDisruptionBudgets, "allowed", `{}`, `{disruptionsAllowed: -1}`, "status.disruptionsAllowed: Invalid value: -1: " + notLess},
		{policy.PodDisruptionBudgets, "condition", `{}`, `{conditions: [{type: a, status: Perhaps, reason: r, lastTransitionTime: "2026-01-01T00:00:00Z"}]}`, `status.conditions[0].status: Unsupported value: "Perhaps": supported values: "False", "True", "Unknown"`},
		{autoscaling.HorizontalPodAutoscalers, "current", `{}`, `{currentReplicas: -1}`, "status.currentReplicas: Invalid value: -1: " + notLess},
		{networking.Ingresses, "address", `{}`, `{loadBalancer: {ingress: [{ip: x}]}}`, `status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address...`},
		{networking.Ingresses, "name", `{}`, `{loadBalancer: {ingress: [{hostname: 10.0.0.1}]}}`, `status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`},

		{core.Nodes, "address twice", `{}`, `{addresses: [{type: InternalIP, address: 10.0.0.1}, {type: InternalIP, address: 10.0.0.1}]}`, `status.addresses[1]: Duplicate value: {"type":"InternalIP","address":"10.0.0.1"}`},
		{core.Pods, "nominated node", `{}`, `{nominatedNodeName: A, qosClass: BestEffort}`, `status.nominatedNodeName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},

		{batch.Jobs, "runs", `{}`, `{` + start + `, active: 2, ready: 1}`, ""},
		{batch.Jobs, "done", `{` + start + `, active: 1}`, `{` + start + `, succeeded: 1, completionTime: "2026-01-01T00:01:00Z", ` + complete + `}`, ""},
		{batch.Jobs, "negative", `{}`, `{active: -1}`, "status.active: Invalid value: -1: " + notLess},
		{batch.Jobs, "ready", `{}`, `{active: 1, ready: 2}`, "status.ready: Invalid value: 2: cannot set more ready pods than active"},
		{batch.Jobs, "succeeded less", `{succeeded: 2}`, `{succeeded: 1}`, "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"},
		{batch.Jobs, "failed less", `{failed: 2}`, `{failed: 1}`, "status.failed: Invalid value: 1: cannot decrease the failed counter"},
		{batch.Jobs, "counted twice", `{}`, `{uncountedTerminatedPods: {succeeded: [a, ""], failed: [a]}}`, "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty\nstatus.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\""},
		{
			batch.Jobs, "complete and failed", `{` + start + `}`,
			`{` + start + `, conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True"}, {type: Complete, status: "True"}], completionTime: "2026-01-01T00:01:00Z"}`,
			"status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions\n" +
				"status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions\n" +
				"status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
		},
		{
			batch.Jobs, "failed at once", `{` + start + `}`, `{` + start + `, conditions: [{type: Failed, status: "True"}]}`,
			"status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
		},
		{
			batch.Jobs, "not failed after all", `{` + start + `, conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True"}]}`, `{` + start + `}`,
			"status.conditions: Invalid value: cannot disable the terminal Failed=True condition\nstatus.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
		},
		{batch.Jobs, "complete without a time", `{` + start + `}`, `{` + start + `, ` + complete + `}`, "status.completionTime: Required value: completionTime is required for Complete jobs"},
		{batch.Jobs, "time without completion", `{` + start + `}`, `{` + start + `, completionTime: "2026-01-01T00:01:00Z"}`, "status.completionTime: Invalid value: \"2026-01-01T00:01:00Z\": cannot set completionTime when there is no Complete=True condition"},
		{batch.Jobs, "ended before it began", `{` + start + `}`, `{` + start + `, completionTime: "2025-01-01T00:01:00Z", ` + complete + `}`, "status.completionTime: Invalid value: \"2025-01-01T00:01:00Z\": must be equal to or after `startTime`"},
		{batch.Jobs, "began again", `{` + start + `}`, `{startTime: "2026-02-01T00:00:00Z"}`, "status.startTime: Invalid value: \"2026-02-01T00:00:00Z\": field is immutable for unsuspended job once set"},
		{batch.Jobs, "began never", `{` + start + `}`, `{}`, "status.startTime: Invalid value: null: field is immutable for unsuspended job once set"},
		{
			batch.Jobs, "resumed", `{` + start + `, conditions: [{type: Suspended, status: "True"}]}`,
			`{startTime: "2026-02-01T00:00:00Z", conditions: [{type: Suspended, status: "False"}]}`, "",
		},
		{
			batch.Jobs, "done with pods", `{` + start + `}`, `{` + start + `, active: 1, terminating: 1, uncountedTerminatedPods: {failed: [a]}, completionTime: "2026-01-01T00:01:00Z", ` + complete + `}`,
			"status.active: Invalid value: 1: active>0 is invalid for finished job\n" +
				`status.uncountedTerminatedPods: Invalid value: {"failed":["a"]}: uncountedTerminatedPods needs to be empty for finished job` + "\n" +
				"status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
		},
		{batch.Jobs, "indexes", `{}`, `{completedIndexes: "1"}`, "status.completedIndexes: Invalid value: \"1\": error parsing completedIndexes: too large index: \"1\"\n" +
			"status.completedIndexes: Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed completion mode"},
		{batch.Jobs, "failed indexes", `{}`, `{failedIndexes: ""}`, `status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null`},
	} {
		t.Run(c.kind.Kind+"/"+c.name, func(t *testing.T) {
			matches(t, statusUpdate(t, c.kind, `{}`, c.old, c.new), c.want)
		})
	}
	const terminated, running = `{containerStatuses: [{name: c, state: {terminated: {exitCode: %d}}}]}`, `{containerStatuses: [{name: c, state: {running: {}}}]}`
	for _, c := range []struct {
		policy string
		code   int
		want   string
	}{
		{"Always", 0, ""},
		{"OnFailure", 1, ""},
		{"OnFailure", 0, "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
		{"Never", 1, "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"},
	} {
		matches(t, statusUpdate(t, core.Pods, `{spec: {restartPolicy: `+c.policy+`}}`, fmt.Sprintf(terminated, c.code), running), c.want)
	}
	indexed := `{spec: {completionMode: Indexed, completions: 9, backoffLimitPerIndex: 1}}`
	matches(t, statusUpdate(t, batch.Jobs, indexed, `{succeeded: 5}`, `{completedIndexes: "0-3,5", failedIndexes: "4,5-7"}`),
		`status.failedIndexes: Invalid value: "4,5-7": failedIndexes and completedIndexes overlap at index: 5`)
}

func TestGenerationOfWorkloads(t *testing.T) {
	for _, c := range []struct {
		kind    *api.Kind
		changes string
		want    int64
	}{
		{apps.Deployments, `{metadata: {labels: {x: y}}}`, 1},
		{apps.Deployments, `{metadata: {annotations: {x: y}}}`, 2},
		{apps.Deployments, `{spec: {replicas: 3}}`, 2},
		{apps.ReplicaSets, `{metadata: {annotations: {x: y}}}`, 1},
		{apps.ReplicaSets, `{spec: {replicas: 3}}`, 2},
		{apps.DaemonSets, `{spec: {minReadySeconds: 3}}`, 2},
		{apps.StatefulSets, `{spec: {replicas: 3}}`, 2},
		{batch.Jobs, `{spec: {parallelism: 3}}`, 2},
		{batch.CronJobs, `{spec: {suspend: true}}`, 2},
		{policy.PodDisruptionBudgets, `{spec: {minAvailable: 2}}`, 2},
		{networking.Ingresses, `{spec: {ingressClassName: a}}`, 2},
		{networking.IngressClasses, `{spec: {parameters: {kind: k, name: n}}}`, 2},
		{networking.NetworkPolicies, `{metadata: {labels: {x: y}}}`, 1},
		{networking.NetworkPolicies, `{spec: {policyTypes: [Egress]}}`, 2},
	} {
		old, obj := read(t, c.kind, `{}`), read(t, c.kind, c.changes)
		create(c.kind, old)
		if j, ok := obj.(*batchv1.Job); ok {
			batch.Jobs.PrepareCreate(j)
		}
		update(c.kind, obj, old)
		if got := obj.GetGeneration(); got != c.want {
			t.Errorf("%s %s: generation %d, want %d", c.kind.Kind, c.changes, got, c.want)
		}
	}
}

// The template of a DaemonSet has a generation of its own.
func TestTemplateGeneration(t *testing.T) {
	old := read(t, apps.DaemonSets, `{}`).(*appsv1.DaemonSet)
	create(apps.DaemonSets, old)
	for changes, want := range map[string]int64{`{spec: {minReadySeconds: 1}}`: 1, `{spec: {template: {metadata: {labels: {x: y}}}}}`: 2} {
		d := read(t, apps.DaemonSets, changes).(*appsv1.DaemonSet)
		update(apps.DaemonSets, d, old)
		if got := d.Annotations[appsv1.DeprecatedTemplateGeneration]; got != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %d", changes, got, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	const at = "spec.template.spec."
	template := func(spec string) string {
		return `{spec: {template: {spec: {containers: [{name: c, image: i}], ` + spec + `}}}}`
	}
	container := func(fields string) string {
		return `{spec: {template: {spec: {containers: [{name: c, image: i, ` + fields + `}]}}}}`
	}
	for _, c := range []struct {
		kind          *api.Kind
		changes, want string
	}{
		{apps.Deployments, `{}`, ""},
		{
			apps.Deployments, `{metadata: {name: a.b}}`,
			"metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
		},
		{core.Pods, `{metadata: {name: a.b}}`, "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"},
		{core.Pods, `{spec: {nodeSelector: {beta.kubernetes.io/os: linux}}}`, `spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`},
		{apps.DaemonSets, template(`nodeSelector: {beta.kubernetes.io/arch: arm}`), at + `nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead`},
		{apps.ReplicaSets, template(`volumes: [{name: v, gitRepo: {repository: r}}]`), at + "volumes[0].gitRepo: deprecated in v1.11"},
		{core.ReplicationControllers, template(`terminationGracePeriodSeconds: -1`), at + "terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"},
		{apps.Deployments, template(`imagePullSecrets: [{name: a}, {name: a}]`), at + `imagePullSecrets[1].name: duplicate name "a"`},
		{apps.Deployments, template(`hostAliases: [{ip: 1.2.3.4}, {ip: 1.2.3.4}]`), at + `hostAliases[1].ip: duplicate ip "1.2.3.4"`},
		{apps.Deployments, container(`env: [{name: A, value: a}, {name: A, value: b}]`), at + `containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply`},
		{apps.Deployments, container(`env: [{name: A, value: a}, {name: A, value: "$(A)b"}]`), ""},
		{apps.Deployments, container(`ports: [{containerPort: 80}, {containerPort: 80, name: b}]`), at + "containers[0].ports[1]: duplicate port definition with " + at + "containers[0].ports[0]"},
		{apps.Deployments, container(`ports: [{containerPort: 80}, {containerPort: 80, hostPort: 8080}]`), at + "containers[0].ports[1]: overlapping port definition with " + at + "containers[0].ports[0]"},
		{apps.Deployments, container(`resources: {limits: {memory: 128m}}`), at + `containers[0].resources.limits[memory]: fractional byte value "128m" is invalid, must be an integer`},
		{
			apps.Deployments, `{spec: {template: {metadata: {annotations: {scheduler.alpha.kubernetes.io/critical-pod: ""}}}}}`,
			`spec.template.metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead`,
		},
		{apps.StatefulSets, `{spec: {revisionHistoryLimit: -1}}`, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"},
		{
			batch.Jobs, `{spec: {completionMode: Indexed, completions: 100001, parallelism: 10001}}`,
			"spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
		},
		{batch.CronJobs, `{spec: {jobTemplate: {spec: {template: {spec: {nodeSelector: {beta.kubernetes.io/os: linux}}}}}}}`, `spec.jobTemplate.spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`},
		{networking.NetworkPolicies, peer(`{ipBlock: {cidr: "0::/8", except: [not validated]}}`), `spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "0::/8" should be in RFC 5952 canonical format ("::/8")`},
		{networking.Ingresses, `{metadata: {annotations: {kubernetes.io/ingress.class: nginx}}}`, `annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead`},
	} {
		o := read(t, c.kind, c.changes)
		if c.kind.Default != nil {
			c.kind.Default(o)
		}
		if got := strings.Join(c.kind.Warn(o), "\n"); got != c.want {
			t.Errorf("%s %s\ngot  %s\nwant %s", c.kind.Kind, c.changes, got, c.want)
		}
	}
}

// A suspended job becomes mutable again when its pods are gone.
func TestSuspendedJobsAreMutable(t *testing.T) {
	for _, c := range []struct{ name, status, want string }{
		{"ran", `{startTime: "2026-01-02T03:00:00Z", conditions: [{type: Suspended, status: "True"}]}`, ""},
		{"is about to", `{startTime: "2026-01-02T03:00:00Z"}`, "spec.template: Invalid value..."},
		{"has pods", `{startTime: "2026-01-02T03:00:00Z", active: 1, conditions: [{type: Suspended, status: "True"}]}`, "spec.template: Invalid value..."},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, obj := read(t, batch.Jobs, `{spec: {suspend: true}}`).(*batchv1.Job), read(t, batch.Jobs, `{spec: {suspend: true, template: {spec: {nodeSelector: {a: b}, containers: [{name: c, image: "busybox:1", resources: {limits: {memory: 1Gi}}}]}}}}`).(*batchv1.Job)
			if errs := create(batch.Jobs, old); len(errs) > 0 {
				t.Fatal(lines(errs))
			}
			old.Status = read(t, batch.Jobs, `{status: `+c.status+`}`).(*batchv1.Job).Status
			batch.Jobs.PrepareCreate(obj)
			old.SetResourceVersion("1")
			obj.SetResourceVersion("1")
			matches(t, update(batch.Jobs, obj, old), c.want)
		})
	}
}
