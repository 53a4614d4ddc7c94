package builtin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/autoscaling"
	"wheelhouse/cluster/api/batch"
	"wheelhouse/cluster/api/certificates"
	"wheelhouse/cluster/api/coordination"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/discovery"
	"wheelhouse/cluster/api/networking"
	"wheelhouse/cluster/api/node"
	"wheelhouse/cluster/api/policy"
	"wheelhouse/cluster/api/rbac"
	"wheelhouse/cluster/api/rules"
	"wheelhouse/cluster/api/scheduling"
	"wheelhouse/cluster/api/storage"
)

// testNow is the time of all rows.
var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func rowOf(k *api.Kind, o api.Object) string {
	var out []string
	for _, c := range k.Row(o) {
		out = append(out, fmt.Sprint(c))
	}
	return strings.Join(out, " | ")
}

func TestColumns(t *testing.T) {
	const created = `creationTimestamp: "2026-01-02T02:59:05Z"` // five minutes ago
	running := `{name: c, ready: true, state: {running: {}}, image: i, imageID: i, restartCount: 0}`
	runColumns(t, []columnCase{
		{"new pod", core.Pods, `{metadata: {` + created + `}, status: {phase: Pending}}`, "p | 0/1 | Pending | 0 | 5m | <none> | <none> | <none> | <none>"},
		{
			"running", core.Pods, `{metadata: {` + created + `}, spec: {nodeName: minion-1}, status: {phase: Running, podIP: 10.246.1.2, podIPs: [{ip: 10.246.1.2}], containerStatuses: [` + running + `]}}`,
			"p | 1/1 | Running | 0 | 5m | 10.246.1.2 | minion-1 | <none> | <none>",
		},
		{"creating", core.Pods, `{status: {phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}}`, "p | 0/1 | ContainerCreating | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{"crash loop", core.Pods, `{status: {phase: Running, containerStatuses: [{name: c, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}},
			lastState: {terminated: {exitCode: 1, finishedAt: "2026-01-02T02:59:05Z"}}}]}}`, "p | 0/1 | CrashLoopBackOff | 2 (5m ago) | <unknown> | <none> | <none> | <none> | <none>"},
		{"completed", core.Pods, `{status: {phase: Succeeded, containerStatuses: [{name: c, state: {terminated: {exitCode: 0, reason: Completed}}}]}}`, "p | 0/1 | Completed | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{"failed without reason", core.Pods, `{status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 3}}}]}}`, "p | 0/1 | ExitCode:3 | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{"signal", core.Pods, `{status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 137, signal: 9}}}]}}`, "p | 0/1 | Signal:9 | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{
			"one of two done", core.Pods, `{spec: {containers: [{name: c}, {name: d}]}, status: {phase: Running, containerStatuses: [{name: c, state: {terminated: {exitCode: 0, reason: Completed}}}, {name: d, ready: true, state: {running: {}}}]}}`,
			"p | 1/2 | NotReady | 0 | <unknown> | <none> | <none> | <none> | <none>",
		},
		{
			"init", core.Pods, `{spec: {initContainers: [{name: i}, {name: j}]}, status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, state: {running: {}}}]}}`,
			"p | 0/1 | Init:1/2 | 0 | <unknown> | <none> | <none> | <none> | <none>",
		},
		{
			"init failed", core.Pods, `{spec: {initContainers: [{name: i}]}, status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}}]}}`,
			"p | 0/1 | Init:CrashLoopBackOff | 3 | <unknown> | <none> | <none> | <none> | <none>",
		},
		{
			"sidecar", core.Pods, `{spec: {initContainers: [{name: i, restartPolicy: Always}]}, status: {phase: Running, conditions: [{type: Initialized, status: "True"}], initContainerStatuses: [{name: i, started: true, ready: true, restartCount: 1, state: {running: {}}}], containerStatuses: [` + running + `]}}`,
			"p | 2/2 | Running | 1 | <unknown> | <none> | <none> | <none> | <none>",
		},
		{"terminating", core.Pods, `{metadata: {deletionTimestamp: "2026-01-02T03:04:05Z"}, status: {phase: Running, containerStatuses: [` + running + `]}}`, "p | 1/1 | Terminating | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{"evicted", core.Pods, `{status: {phase: Failed, reason: Evicted}}`, "p | 0/1 | Evicted | 0 | <unknown> | <none> | <none> | <none> | <none>"},
		{
			"readiness gates", core.Pods, `{spec: {readinessGates: [{conditionType: a}, {conditionType: b}]}, status: {phase: Running, conditions: [{type: a, status: "True"}], nominatedNodeName: n1}}`,
			"p | 0/1 | Running | 0 | <unknown> | <none> | <none> | n1 | 1/2",
		},

		{
			"node", core.Nodes, `{metadata: {` + created + `, labels: {node-role.kubernetes.io/control-plane: "", kubernetes.io/role: x}}, spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: "True"}],
			addresses: [{type: InternalIP, address: 10.245.1.2}], nodeInfo: {kubeletVersion: v1.36.3, osImage: Debian, kernelVersion: "6", containerRuntimeVersion: docker://20}}}`,
			"n1 | Ready,SchedulingDisabled | control-plane,x | 5m | v1.36.3 | 10.245.1.2 | <none> | Debian | 6 | docker://20",
		},
		{"node without heartbeat", core.Nodes, `{status: {conditions: [{type: Ready, status: Unknown}]}}`, "n1 | NotReady | <none> | <unknown> |  | <none> | <none> | <unknown> | <unknown> | <unknown>"},
		{"rc", core.ReplicationControllers, `{metadata: {` + created + `}, spec: {replicas: 5}, status: {replicas: 4, readyReplicas: 3}}`, "rc | 5 | 4 | 3 | 5m | c | busybox:1 | a=b"},
		{"service", core.Services, `{spec: {type: NodePort, selector: {app: x}, ports: [{port: 80, nodePort: 30727, protocol: TCP}, {port: 53, protocol: UDP}]}}`, "s | NodePort | 10.247.0.5 | <none> | 80:30727/TCP,53/UDP | <unknown> | app=x"},
		{"load balancer", core.Services, `{spec: {type: LoadBalancer, ports: [{port: 80, protocol: TCP}]}}`, "s | LoadBalancer | 10.247.0.5 | <pending> | 80/TCP | <unknown> | <none>"},
		{"external name", core.Services, `{spec: {type: ExternalName, clusterIP: null, ports: null, externalName: a.b}}`, "s | ExternalName | <none> | a.b | <none> | <unknown> | <none>"},
		{"endpoints", core.Endpoints, `{subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 81}]}]}`, "s | 10.0.0.1:80,10.0.0.1:81,10.0.0.2:80 + 1 more... | <unknown>"},
		{"no endpoints", core.Endpoints, `{subsets: null}`, "s | <none> | <unknown>"},
		{"slice", discovery.EndpointSlices, `{endpoints: [{addresses: [a]}, {addresses: [b]}]}`, "s | IPv4 | 80 | a,b | <unknown>"},
		{"secret", core.Secrets, `{type: Opaque, data: {a: eA==}}`, "s | Opaque | 1 | <unknown>"},
		{"config map", core.ConfigMaps, `{data: {a: x, b: "y"}}`, "c | 2 | <unknown>"},
		{"service account", core.ServiceAccounts, `{metadata: {` + created + `}}`, "a | 5m"},
		{"namespace", core.Namespaces, `{status: {phase: Terminating}}`, "n1 | Terminating | <unknown>"},
		{"lease", coordination.Leases, `{}`, "l | me | <unknown>"},
		{"volume", core.PersistentVolumes, `{spec: {persistentVolumeReclaimPolicy: Retain, volumeMode: Filesystem, claimRef: {namespace: ns, name: c}}, status: {phase: Bound}}`, "v | 1Gi | RWO | Retain | Bound | ns/c |  | <unset> |  | <unknown> | Filesystem"},
		{"claim", core.PersistentVolumeClaims, `{spec: {volumeName: v, volumeMode: Filesystem}, status: {phase: Bound, capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce, ReadOnlyMany]}}`, "c | Bound | v | 10Gi | RWO,ROX |  | <unset> | <unknown> | Filesystem"},
		{"pending claim", core.PersistentVolumeClaims, `{spec: {storageClassName: fast}, status: {phase: Pending}}`, "c | Pending |  |  |  | fast | <unset> | <unknown> | <unset>"},
		{
			"event", core.Events, `{type: Warning, reason: BackOff, lastTimestamp: "2026-01-02T02:59:05Z", firstTimestamp: "2026-01-02T02:04:05Z", count: 7, source: {component: kubelet, host: minion-1}, involvedObject: {fieldPath: "spec.containers{c}"}}`,
			"5m | Warning | BackOff | pod/p | spec.containers{c} | kubelet, minion-1 | m | 60m | 7 | e",
		},
		{"new event", core.Events, `{type: Normal, eventTime: "2026-01-02T02:59:05.000000Z", reportingComponent: default-scheduler}`, "5m | Normal | R | pod/p |  | default-scheduler | m | 5m | 1 | e"},
		{"role", rbac.Roles, `{metadata: {` + created + `}}`, "r | 2026-01-02T02:59:05Z"},
		{"role binding", rbac.RoleBindings, `{subjects: [{kind: User, name: u}, {kind: Group, name: g}, {kind: ServiceAccount, namespace: ns, name: a}]}`, "b | Role/r | <unknown> | u | g | ns/a"},
		{"quota", core.ResourceQuotas, `{status: {hard: {pods: 10, limits.cpu: 4}, used: {pods: 1, limits.cpu: 500m}}}`, "q | pods: 1/10 | limits.cpu: 500m/4 | <unknown>"},
		{"priority", scheduling.PriorityClasses, `{}`, "high | 1000 | false | <unknown> | PreemptLowerPriority"},
		{"runtime class", node.RuntimeClasses, `{metadata: {` + created + `}}`, "boxed | runc | 5m"},
		{"default class", storage.StorageClasses, `{metadata: {annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, reclaimPolicy: Delete, volumeBindingMode: Immediate}`, "fast (default) | example.com/disk | Delete | Immediate | false | <unknown>"},
		{"template", core.PodTemplates, `{}`, "t | c | i | a=b"},
		{"signing request", certificates.CertificateSigningRequests, `{spec: {username: u, expirationSeconds: 86400}, status: {conditions: [{type: Approved}], certificate: eA==}}`, "r | <unknown> | kubernetes.io/kube-apiserver-client | u | 24h | Approved,Issued"},
	})
}

// columnCase is an object, as changes of its base, and its row.
type columnCase struct {
	name          string
	kind          *api.Kind
	changes, want string
}

func runColumns(t *testing.T, cases []columnCase) {
	t.Helper()
	rules.Now = func() time.Time { return testNow }
	t.Cleanup(func() { rules.Now = time.Now })
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := rowOf(c.kind, read(t, c.kind, c.changes)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestColumnNames(t *testing.T) {
	for k, want := range map[*api.Kind]string{
		core.Pods:                   "NAME READY STATUS RESTARTS AGE / IP,NODE,NOMINATED NODE,READINESS GATES",
		core.Nodes:                  "NAME STATUS ROLES AGE VERSION / INTERNAL-IP,EXTERNAL-IP,OS-IMAGE,KERNEL-VERSION,CONTAINER-RUNTIME",
		core.ReplicationControllers: "NAME DESIRED CURRENT READY AGE / CONTAINERS,IMAGES,SELECTOR",
		core.Services:               "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE / SELECTOR",
		core.Endpoints:              "NAME ENDPOINTS AGE / ",
		core.Events:                 "LAST SEEN TYPE REASON OBJECT MESSAGE / SUBOBJECT,SOURCE,FIRST SEEN,COUNT,NAME",
		core.PersistentVolumes:      "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE / VOLUMEMODE",
		core.PersistentVolumeClaims: "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE / VOLUMEMODE",
		core.ComponentStatuses:      "NAME STATUS MESSAGE ERROR / ",
		core.Secrets:                "NAME TYPE DATA AGE / ",
		core.ServiceAccounts:        "NAME AGE / ",
		apps.ReplicaSets:            "NAME DESIRED CURRENT READY AGE / CONTAINERS,IMAGES,SELECTOR",
		apps.Deployments:            "NAME READY UP-TO-DATE AVAILABLE AGE / CONTAINERS,IMAGES,SELECTOR",
		apps.DaemonSets:             "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE / CONTAINERS,IMAGES,SELECTOR",
		apps.StatefulSets:           "NAME READY AGE / CONTAINERS,IMAGES",
		apps.ControllerRevisions:    "NAME CONTROLLER REVISION AGE / ",
		batch.Jobs:                  "NAME STATUS COMPLETIONS DURATION AGE / CONTAINERS,IMAGES,SELECTOR",
		batch.CronJobs:              "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE / CONTAINERS,IMAGES,SELECTOR",
		policy.PodDisruptionBudgets: "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE / ",
		networking.Ingresses:        "NAME CLASS HOSTS ADDRESS PORTS AGE / ",
		networking.NetworkPolicies:  "NAME POD-SELECTOR AGE / ",
		networking.IngressClasses:   "NAME CONTROLLER PARAMETERS AGE / ",
		rbac.RoleBindings:           "NAME ROLE AGE / USERS,GROUPS,SERVICEACCOUNTS",

		autoscaling.HorizontalPodAutoscalers: "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE / ",
	} {
		var always, wide []string
		for _, c := range k.Columns {
			if c.Priority == 0 {
				always = append(always, strings.ToUpper(c.Name))
			} else {
				wide = append(wide, strings.ToUpper(c.Name))
			}
		}
		if got := strings.Join(always, " ") + " / " + strings.Join(wide, ","); got != want {
			t.Errorf("%s: %s\nwant %s", k.Kind, got, want)
		}
	}
}

// Columns are described as upstream describes them: mostly by what the Go type says of the field.
func TestColumnsAreDescribed(t *testing.T) {
	for _, c := range []struct {
		kind         *api.Kind
		column, want string
	}{
		{core.Pods, "Name", "Name must be unique within a namespace. Is required when creating resources"},
		{core.Pods, "Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."},
		{core.Pods, "Age", "CreationTimestamp is a timestamp representing the server time when this object was created."},
		{apps.Deployments, "Up-to-date", "Total number of non-terminating pods targeted by this deployment that have the desired template spec."},
		{apps.Deployments, "Selector", "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment."},
		{apps.ReplicaSets, "Selector", "Selector is a label query over pods that should match the replica count."},
		{batch.CronJobs, "Images", "Images referenced by each container in the template."},
		{rbac.Roles, "Created At", "CreationTimestamp is a timestamp representing"},
	} {
		i := slices.IndexFunc(c.kind.Columns, func(d metav1.TableColumnDefinition) bool { return d.Name == c.column })
		if i < 0 || !strings.HasPrefix(c.kind.Columns[i].Description, c.want) {
			t.Errorf("%s, %s: %+v, want %q", c.kind.Kind, c.column, c.kind.Columns, c.want)
		}
	}
	for _, k := range Table().Served() {
		for _, c := range k.Columns {
			if c.Description == "" && c.Name != "Handler" { // upstream has none
				t.Errorf("%s: no description of column %s", k.GroupVersionKind, c.Name)
			}
		}
	}
}
