package builtin

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	appsv1beta1 "k8s.io/api/apps/v1beta1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/networking"
	"wheelhouse/cluster/api/policy"
	"wheelhouse/cluster/api/rules"
)

func TestDefaultsOfWorkloads(t *testing.T) {
	const template = `template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "busybox:1"}]}}`
	const filled = `template: {metadata: {labels: {a: b}}, spec: {` + defaultedPodSpec + `, containers: [{name: c, image: "busybox:1", imagePullPolicy: IfNotPresent, ` + defaultedContainer + `}]}}`
	ended := strings.Replace(filled, "restartPolicy: Always", "restartPolicy: Never", 1)
	ends := strings.Replace(template, "spec: {", "spec: {restartPolicy: Never, ", 1)
	const job = `manualSelector: false, suspend: false, completionMode: NonIndexed, `
	const cpu = `metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]`
	runDefaults(t, []defaultCase{
		{"set", apps.ReplicaSets, `{spec: {` + template + `}}`, `{spec: {replicas: 1, ` + filled + `}}`},
		{
			"deployment", apps.Deployments, `{spec: {` + template + `}}`,
			`{spec: {replicas: 1, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, ` + filled + `}}`,
		},
		{
			"recreated deployment", apps.Deployments, `{spec: {strategy: {type: Recreate}, ` + template + `}}`,
			`{spec: {replicas: 1, strategy: {type: Recreate}, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, ` + filled + `}}`,
		},
		{
			"daemon set", apps.DaemonSets, `{spec: {` + template + `}}`,
			`{metadata: {annotations: {deprecated.daemonset.template.generation: "0"}},
			  spec: {updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}, revisionHistoryLimit: 10, ` + filled + `}}`,
		},
		{
			"stateful set", apps.StatefulSets, `{spec: {` + template + `, volumeClaimTemplates: [{metadata: {name: www}}]}}`,
			`{spec: {replicas: 1, podManagementPolicy: OrderedReady, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}},
			  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}, revisionHistoryLimit: 10, ` + filled + `,
			  volumeClaimTemplates: [{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: www}, spec: {volumeMode: Filesystem}, status: {phase: Pending}}]}}`,
		},
		{"job", batch.Jobs, `{spec: {` + ends + `}}`, `{metadata: {labels: {a: b}}, spec: {` + job + `parallelism: 1, completions: 1, backoffLimit: 6, podReplacementPolicy: TerminatingOrFailed, ` + ended + `}}`},
		{
			"job with a queue", batch.Jobs, `{spec: {parallelism: 3, podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: a}]}]}, ` + ends + `}}`,
			`{metadata: {labels: {a: b}}, spec: {` + job + `parallelism: 3, backoffLimit: 6, podReplacementPolicy: Failed,
			  podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: a, status: "True"}]}]}, ` + ended + `}}`,
		},
		{
			"job with retries by index", batch.Jobs, `{spec: {completionMode: Indexed, completions: 3, backoffLimitPerIndex: 1, ` + ends + `}}`,
			`{metadata: {labels: {a: b}}, spec: {manualSelector: false, suspend: false, completionMode: Indexed, completions: 3, parallelism: 1, backoffLimit: 2147483647, backoffLimitPerIndex: 1,
			  podReplacementPolicy: TerminatingOrFailed, ` + ended + `}}`,
		},
		{
			"cron job", batch.CronJobs, `{spec: {jobTemplate: {spec: {` + ends + `}}}}`,
			`{spec: {concurrencyPolicy: Allow, suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1, jobTemplate: {spec: {` + ended + `}}}}`,
		},
		{"autoscaler", autoscaling.HorizontalPodAutoscalers, `{spec: {}}`, `{spec: {minReplicas: 1, ` + cpu + `}}`},
		{
			"autoscaler behavior", autoscaling.HorizontalPodAutoscalers, `{spec: {minReplicas: 2, ` + cpu + `, behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}}}`,
			`{spec: {minReplicas: 2, ` + cpu + `, behavior: {
			  scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Max, policies: [{type: Pods, value: 4, periodSeconds: 15}, {type: Percent, value: 100, periodSeconds: 15}]},
			  scaleDown: {selectPolicy: Max, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}}}`,
		},
		{"network policy", networking.NetworkPolicies, `{spec: {ingress: [{ports: [{port: 80}]}]}}`, `{spec: {policyTypes: [Ingress], ingress: [{ports: [{port: 80, protocol: TCP}]}]}}`},
		{"network policy for both ways", networking.NetworkPolicies, `{spec: {egress: [{ports: [{protocol: UDP}]}]}}`, `{spec: {policyTypes: [Ingress, Egress], egress: [{ports: [{protocol: UDP}]}]}}`},
		{"network policy that says its type", networking.NetworkPolicies, `{spec: {policyTypes: [Ingress], egress: [{}]}}`, `{spec: {policyTypes: [Ingress], egress: [{}]}}`},
		{"class", networking.IngressClasses, `{spec: {parameters: {kind: k, name: n}}}`, `{spec: {parameters: {kind: k, name: n, scope: Cluster}}}`},

		// the defaults of retired versions, in their own shape
		{
			"deployment of 2016", Lookup("extensions", "v1beta1", "deployments"), `{spec: {` + template + `}}`,
			`{metadata: {labels: {a: b}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 1}},
			  revisionHistoryLimit: 2147483647, progressDeadlineSeconds: 2147483647, ` + filled + `}}`,
		},
		{"set of 2016", Lookup("extensions", "v1beta1", "replicasets"), `{spec: {` + template + `}}`, `{metadata: {labels: {a: b}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, ` + filled + `}}`},
		{
			"daemon set of 2016", Lookup("extensions", "v1beta1", "daemonsets"), `{spec: {` + template + `}}`,
			`{metadata: {labels: {a: b}}, spec: {selector: {matchLabels: {a: b}}, updateStrategy: {type: OnDelete}, revisionHistoryLimit: 10, ` + filled + `}}`,
		},
		{
			"deployment of apps/v1beta1", Lookup("apps", "v1beta1", "deployments"), `{spec: {` + template + `}}`,
			`{metadata: {labels: {a: b}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}},
			  revisionHistoryLimit: 2, progressDeadlineSeconds: 600, ` + filled + `}}`,
		},
		{
			"stateful set of apps/v1beta1", Lookup("apps", "v1beta1", "statefulsets"), `{spec: {` + template + `}}`,
			`{metadata: {labels: {a: b}}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, podManagementPolicy: OrderedReady, updateStrategy: {type: OnDelete},
			  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}, revisionHistoryLimit: 10, ` + filled + `}}`,
		},
		{
			"deployment of apps/v1beta2", Lookup("apps", "v1beta2", "deployments"), `{spec: {` + template + `}}`,
			`{spec: {replicas: 1, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}, revisionHistoryLimit: 10, progressDeadlineSeconds: 600, ` + filled + `}}`,
		},
		{
			"ingress of 2016", Lookup("extensions", "v1beta1", "ingresses"), `{spec: {rules: [{http: {paths: [{path: /, backend: {serviceName: s, servicePort: 80}}]}}]}}`,
			`{spec: {rules: [{http: {paths: [{path: /, pathType: ImplementationSpecific, backend: {serviceName: s, servicePort: 80}}]}}]}}`,
		},
	})
}

// filledIn returns an object with the defaults of its version and of the stored one, as the server returns it.
func filledIn(t *testing.T, k *api.Kind, o api.Object) api.Object {
	t.Helper()
	if k.Default != nil {
		k.Default(o)
	}
	if k.Stored == nil {
		return o
	}
	stored := toStored(t, k, o)
	if k.Stored.Default != nil {
		k.Stored.Default(stored)
	}
	return fromStored(t, k, stored)
}

// A stored object loses nothing when a client reads and writes it in a retired version.
func TestRetiredVersionsLoseNothing(t *testing.T) {
	f := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, func(serializer.CodecFactory) []any {
		return []any{func(v *intstr.IntOrString, c randfill.Continue) { *v = intstr.FromInt32(c.Int31()) }}
	}), rand.NewSource(1), api.Codecs).NilChance(0.3).NumElements(1, 2)
	retired := slices.DeleteFunc(slices.Clone(Table().Served()[len(Kinds):]), func(k *api.Kind) bool {
		return k.Stored == core.Events || k.Stored == autoscaling.HorizontalPodAutoscalers
	})
	for _, k := range retired {
		for range 20 {
			o := k.Stored.New()
			f.Fill(o)
			o.SetManagedFields(nil)
			if k.Stored == networking.Ingresses {
				continue // the retired version cannot represent a random backend
			}
			o.GetObjectKind().SetGroupVersionKind(k.Stored.GroupVersionKind)
			o = toStored(t, k, fromStored(t, k, o)) // times lose their fractions of a second in JSON
			if back := toStored(t, k, fromStored(t, k, o)); !rules.Equal(back, o) {
				t.Fatalf("%s: -was +is\n%s", k.GroupVersionKind, diff.Diff(o, back))
			}
		}
	}
}

func TestAutoscalerV1(t *testing.T) {
	h := read(t, autoscaling.HorizontalPodAutoscalers, `{metadata: {annotations: {own: "1"}}, spec: {minReplicas: 2, behavior: {scaleUp: {selectPolicy: Min}}, metrics: [
	  {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}},
	  {type: Pods, pods: {metric: {name: p, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: "5"}}},
	  {type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: o}, target: {type: Value, value: "6"}}},
	  {type: External, external: {metric: {name: e}, target: {type: AverageValue, averageValue: "7"}}},
	  {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 8}}},
	  {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]},
	  status: {currentReplicas: 2, desiredReplicas: 3, conditions: [{type: AbleToScale, status: "True", reason: r}], currentMetrics: [
	  {type: Resource, resource: {name: cpu, current: {averageUtilization: 70, averageValue: 10m}}},
	  {type: Object, object: {describedObject: {kind: Service, name: s}, metric: {name: o}, current: {value: "1"}}},
	  {type: Pods, pods: {metric: {name: p}, current: {averageValue: "2"}}},
	  {type: External, external: {metric: {name: e}, current: {value: "3", averageValue: "4"}}},
	  {type: ContainerResource, containerResource: {name: cpu, container: c, current: {averageUtilization: 5, averageValue: 6m}}}]}}`)
	h.GetObjectKind().SetGroupVersionKind(autoscaling.HorizontalPodAutoscalers.GroupVersionKind)
	old := fromStored(t, Lookup("autoscaling", "v1", "horizontalpodautoscalers"), h)
	if n := len(old.GetAnnotations()); n != 5 {
		t.Errorf("%d annotations: %v", n, old.GetAnnotations())
	}
	if back := toStored(t, Lookup("autoscaling", "v1", "horizontalpodautoscalers"), old); !rules.Equal(back, h) {
		t.Errorf("-was +is\n%s", diff.Diff(h, back))
	}
	old.SetAnnotations(map[string]string{"autoscaling.alpha.kubernetes.io/metrics": "not JSON"})
	if back := toStored(t, Lookup("autoscaling", "v1", "horizontalpodautoscalers"), old); len(back.GetAnnotations()) != 0 {
		t.Errorf("of an annotation that cannot be read: %v", back.GetAnnotations())
	}
}

func TestRetiredRollback(t *testing.T) {
	d := &extensionsv1beta1.Deployment{}
	d.Spec.RollbackTo = &extensionsv1beta1.RollbackConfig{Revision: 4}
	stored := toStored(t, Lookup("extensions", "v1beta1", "deployments"), d)
	if stored.GetAnnotations()[apps.RollbackTo] != "4" {
		t.Errorf("annotations %v", stored.GetAnnotations())
	}
	other := fromStored(t, Lookup("apps", "v1beta1", "deployments"), stored).(*appsv1beta1.Deployment)
	if other.Spec.RollbackTo == nil || other.Spec.RollbackTo.Revision != 4 || len(other.Annotations) != 0 {
		t.Errorf("as apps/v1beta1: %+v", other)
	}
}

func TestColumnsOfWorkloads(t *testing.T) {
	const created = `creationTimestamp: "2026-01-02T02:59:05Z"` // five minutes ago
	const target = `scaleTargetRef: {kind: Deployment, name: d}`
	runColumns(t, []columnCase{
		{"set", apps.ReplicaSets, `{metadata: {` + created + `}, spec: {replicas: 3}, status: {replicas: 2, readyReplicas: 1}}`, "rs | 3 | 2 | 1 | 5m | c | busybox:1 | a=b"},
		{"deployment", apps.Deployments, `{metadata: {` + created + `}, spec: {replicas: 3}, status: {readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2}}`, "d | 2/3 | 1 | 2 | 5m | c | busybox:1 | a=b"},
		{
			"daemon set", apps.DaemonSets, `{status: {desiredNumberScheduled: 4, currentNumberScheduled: 3, numberReady: 2, updatedNumberScheduled: 1, numberAvailable: 2}}`,
			"ds | 4 | 3 | 2 | 1 | 2 | <none> | <unknown> | c | busybox:1 | a=b",
		},
		{"daemon set on some nodes", apps.DaemonSets, `{spec: {template: {spec: {nodeSelector: {disk: ssd}}}}}`, "ds | 0 | 0 | 0 | 0 | 0 | disk=ssd | <unknown> | c | busybox:1 | a=b"},
		{"stateful set", apps.StatefulSets, `{spec: {replicas: 3}, status: {readyReplicas: 1}}`, "s | 1/3 | <unknown> | c | busybox:1"},
		{"revision", apps.ControllerRevisions, `{metadata: {ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, controller: true}]}}`, "r | statefulset.apps/web | 1 | <unknown>"},
		{"revision without owner", apps.ControllerRevisions, `{}`, "r | <none> | 1 | <unknown>"},
		{"job", batch.Jobs, `{spec: {completions: 3}, status: {succeeded: 1, startTime: "2026-01-02T03:03:05Z"}}`, "j | Running | 1/3 | 60s | <unknown> | c | busybox:1 | <none>"},
		{
			"job done", batch.Jobs, `{spec: {parallelism: 2}, status: {succeeded: 1, startTime: "2026-01-02T03:00:00Z", completionTime: "2026-01-02T03:00:07Z", conditions: [{type: Complete, status: "True"}]}}`,
			"j | Complete | 1/1 of 2 | 7s | <unknown> | c | busybox:1 | <none>",
		},
		{"job failed", batch.Jobs, `{status: {conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True"}]}}`, "j | Failed | 0/1 |  | <unknown> | c | busybox:1 | <none>"},
		{"suspended job", batch.Jobs, `{status: {conditions: [{type: Suspended, status: "True"}]}}`, "j | Suspended | 0/1 |  | <unknown> | c | busybox:1 | <none>"},
		{"cron job", batch.CronJobs, `{}`, "c | * * * * * | <none> | <unset> | 0 | <none> | <unknown> | c | busybox:1 | <none>"},
		{
			"cron job that ran", batch.CronJobs, `{spec: {suspend: true, timeZone: Europe/Berlin}, status: {active: [{name: a}], lastScheduleTime: "2026-01-02T02:59:05Z"}}`,
			"c | * * * * * | Europe/Berlin | True | 1 | 5m | <unknown> | c | busybox:1 | <none>",
		},
		{"budget", policy.PodDisruptionBudgets, `{status: {disruptionsAllowed: 2}}`, "b | 1 | N/A | 2 | <unknown>"},
		{"budget in percent", policy.PodDisruptionBudgets, `{spec: {minAvailable: null, maxUnavailable: 10%}}`, "b | N/A | 10% | 0 | <unknown>"},
		{"autoscaler", autoscaling.HorizontalPodAutoscalers, `{spec: {minReplicas: 2, metrics: [{type: Resource, resource: {name: cpu, target: {averageUtilization: 80}}}]}}`, "h | Deployment/d | cpu: <unknown>/80% | 2 | 5 | 0 | <unknown>"},
		{
			"autoscaler of many", autoscaling.HorizontalPodAutoscalers, `{spec: {metrics: [{type: Resource, resource: {name: memory, target: {averageValue: 1Gi}}}, {type: Pods, pods: {target: {averageValue: "5"}}},
			  {type: External, external: {target: {averageValue: "7"}}}]}, status: {currentReplicas: 4, currentMetrics: [{type: Resource, resource: {current: {averageValue: 2Gi}}}]}}`,
			"h | Deployment/d | memory: 2Gi/1Gi, <unknown>/5 + 1 more... | <unset> | 5 | 4 | <unknown>",
		},
		{"autoscaler of nothing", autoscaling.HorizontalPodAutoscalers, `{spec: {` + target + `}}`, "h | Deployment/d | <none> | <unset> | 5 | 0 | <unknown>"},
		{"ingress", networking.Ingresses, `{}`, "i | <none> | a.b |  | 80 | <unknown>"},
		{
			"ingress of many hosts", networking.Ingresses, `{spec: {ingressClassName: nginx, tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}, {host: e}]}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: x.example.com}]}}}`,
			"i | nginx | a,b,c + 2 more... | 1.2.3.4,x.example.com | 80, 443 | <unknown>",
		},
		{"network policy", networking.NetworkPolicies, `{}`, "np | <none> | <unknown>"},
		{"network policy of some pods", networking.NetworkPolicies, `{spec: {podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}}}`, "np | a=b,c | <unknown>"},
		{"class", networking.IngressClasses, `{spec: {parameters: {apiGroup: example.com, kind: K, name: p}}}`, "nginx | example.com/nginx | K.example.com/p | <unknown>"},
	})
}
