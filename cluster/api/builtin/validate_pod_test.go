package builtin

import (
	"strings"
	"testing"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/api/core"
)

type invalidCase struct {
	name, changes, want string
}

func runInvalid(t *testing.T, k *api.Kind, cases []invalidCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			matches(t, create(k, read(t, k, c.changes)), c.want)
		})
	}
}

// inContainer returns changes of a pod that add fields to its container.
func inContainer(fields string) string {
	return `{spec: {volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: i, ` + fields + `}]}}`
}

func TestInvalidPods(t *testing.T) {
	c := "spec.containers[0]."
	runInvalid(t, core.Pods, []invalidCase{
		{"valid", `{}`, ""},
		{"no name", `{metadata: {name: null}}`, "metadata.name: Required value: name or generateName is required"},
		{"bad name", `{metadata: {name: Upper}}`, `metadata.name: Invalid value: "Upper": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'...`},
		{"no namespace", `{metadata: {namespace: null}}`, "metadata.namespace: Required value"},
		{"bad label key", `{metadata: {labels: {"a b": c}}}`, `metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters...`},
		{"bad label value", `{metadata: {labels: {a: "b c"}}}`, `metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters...`},
		{"long label value", `{metadata: {labels: {a: "0123456789012345678901234567890123456789012345678901234567890123"}}}`, `metadata.labels: Invalid value: "0123456789012345678901234567890123456789012345678901234567890123": must be no more than 63 bytes`},
		{"bad annotation", `{metadata: {annotations: {"a/b/c": d}}}`, `metadata.annotations: Invalid value: "a/b/c": a valid label key must consist of alphanumeric characters...`},
		{"bad finalizer", `{metadata: {finalizers: ["a b"]}}`, `metadata.finalizers: Invalid value: "a b": name part must consist of...` + "\n" + `metadata.finalizers[0]: Invalid value: "a b": name is neither a standard finalizer name nor is it fully qualified`},
		{"no containers", `{spec: {containers: []}}`, "spec.containers: Required value"},
		{"nameless container", `{spec: {containers: [{image: i}]}}`, "spec.containers[0].name: Required value"},
		{"dotted container name", `{spec: {containers: [{name: a.b, image: i}]}}`, `spec.containers[0].name: Invalid value: "a.b": must not contain dots`},
		{"upper container name", `{spec: {containers: [{name: A, image: i}]}}`, `spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'...`},
		{"no image", `{spec: {containers: [{name: c}]}}`, "spec.containers[0].image: Required value"},
		{"blank in image", `{spec: {containers: [{name: c, image: " i"}]}}`, `spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace`},
		{"two of a name", `{spec: {containers: [{name: c, image: i}, {name: c, image: i}]}}`, `spec.containers[1].name: Duplicate value: "c"`},
		{"init of the same name", `{spec: {initContainers: [{name: c, image: i}]}}`, `spec.initContainers[0].name: Duplicate value: "c"`},
		{"pull policy", inContainer(`imagePullPolicy: x`), c + `imagePullPolicy: Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"`},
		{"unmasked proc", inContainer(`securityContext: {procMount: Unmasked}`), c + "securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"},
		{"unmasked proc of own users", `{spec: {hostUsers: false, containers: [{name: c, image: i, securityContext: {procMount: Unmasked}}]}}`, ""},
		{"own users on the node's network", `{spec: {hostUsers: false, hostNetwork: true}}`, "spec.hostNetwork: Forbidden: when `hostUsers` is false"},
		{"own users among the node's processes", `{spec: {hostUsers: false, hostPID: true}}`, "spec.HostPID: Forbidden: when `hostUsers` is false"},
		{"restart policy", `{spec: {restartPolicy: x}}`, `spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"`},
		{"dns policy", `{spec: {dnsPolicy: x}}`, `spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"`},
		{"dns none", `{spec: {dnsPolicy: None}}`, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"},
		{"dns none without server", `{spec: {dnsPolicy: None, dnsConfig: {}}}`, "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"},
		{"bad nameserver", `{spec: {dnsConfig: {nameservers: [x]}}}`, `spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`},
		{"four nameservers", `{spec: {dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}}}`, `spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","1.1.1.4"]: must not have more than 3 nameservers`},
		{"message policy", inContainer(`terminationMessagePolicy: x`), c + `terminationMessagePolicy: Unsupported value: "x": supported values: "File", "FallbackToLogsOnError"`},
		{"port 0", inContainer(`ports: [{name: a}]`), c + "ports[0].containerPort: Required value"},
		{"port 65536", inContainer(`ports: [{containerPort: 65536}]`), c + "ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"},
		{"port protocol", inContainer(`ports: [{containerPort: 80, protocol: tcp}]`), c + `ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"`},
		{"long port name", inContainer(`ports: [{containerPort: 80, name: aaaaaaaaaaaaaaaa}]`), c + `ports[0].name: Invalid value: "aaaaaaaaaaaaaaaa": must be no more than 15 characters`},
		{"port name of digits", inContainer(`ports: [{containerPort: 80, name: "80"}]`), c + `ports[0].name: Invalid value: "80": must contain at least one letter (a-z)`},
		{"port names twice", inContainer(`ports: [{containerPort: 80, name: a}, {containerPort: 81, name: a}]`), c + `ports[1].name: Duplicate value: "a"`},
		{"host port conflict", `{spec: {containers: [{name: a, image: i, ports: [{containerPort: 80, hostPort: 8080}]}, {name: b, image: i, ports: [{containerPort: 81, hostPort: 8080}]}]}}`, `spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"`},
		{"host network port", `{spec: {hostNetwork: true, containers: [{name: a, image: i, ports: [{containerPort: 80, hostPort: 81}]}]}}`, "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"},
		{"host ip", inContainer(`ports: [{containerPort: 80, hostIP: x}]`), ""},
		{"env without name", inContainer(`env: [{value: x}]`), c + "env[0].name: Required value"},
		{"env name", inContainer(`env: [{name: "a=b"}]`), c + `env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`},
		{"env from nothing", inContainer(`env: [{name: a, valueFrom: {}}]`), c + "env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"},
		{"env value and source", inContainer(`env: [{name: a, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]`), c + "env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"},
		{"env two sources", inContainer(`env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: s, key: k}}}]`), c + "env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a time"},
		{"unknown field", inContainer(`env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.nope}}}]`), c + `env[0].valueFrom.fieldRef.fieldPath: Invalid value: "metadata.nope": error converting fieldPath: field label not supported: metadata.nope`},
		{"all labels as env", inContainer(`env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]`), c + `env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"`},
		{"secret key", inContainer(`env: [{name: a, valueFrom: {secretKeyRef: {name: s}}}]`), c + "env[0].valueFrom.secretKeyRef.key: Required value"},
		{"config map name", inContainer(`env: [{name: a, valueFrom: {configMapKeyRef: {key: k}}}]`), c + `env[0].valueFrom.configMapKeyRef.name: Invalid value: "": a lowercase RFC 1123 subdomain must consist of...`},
		{"resource field", inContainer(`env: [{name: a, valueFrom: {resourceFieldRef: {resource: limits.disk}}}]`), c + `env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.disk": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"`},
		{"divisor", inContainer(`env: [{name: a, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 3}}}]`), c + `env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource`},
		{"envFrom nothing", inContainer(`envFrom: [{prefix: a}]`), c + "envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"},
		{"envFrom nameless", inContainer(`envFrom: [{secretRef: {}}]`), c + "envFrom[0].secretRef.name: Required value"},
		{"mount of no volume", inContainer(`volumeMounts: [{name: x, mountPath: /x}]`), c + `volumeMounts[0].name: Not found: "x"`},
		{"mount without path", inContainer(`volumeMounts: [{name: v}]`), c + "volumeMounts[0].mountPath: Required value"},
		{"mounts in one place", inContainer(`volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /x}]`), c + `volumeMounts[1].mountPath: Invalid value: "/x": must be unique`},
		{"absolute subPath", inContainer(`volumeMounts: [{name: v, mountPath: /x, subPath: /y}]`), c + `volumeMounts.subPath: Invalid value: "/y": must be a relative path`},
		{"subPath up", inContainer(`volumeMounts: [{name: v, mountPath: /x, subPath: a/../../b}]`), c + `volumeMounts.subPath: Invalid value: "a/../../b": must not contain '..'`},
		{"subPath twice", inContainer(`volumeMounts: [{name: v, mountPath: /x, subPath: a, subPathExpr: b}]`), c + `volumeMounts[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive`},
		{"propagation", inContainer(`volumeMounts: [{name: v, mountPath: /x, mountPropagation: Bidirectional}]`), c + "volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"},
		{"empty probe", inContainer(`livenessProbe: {}`), c + "livenessProbe: Required value: must specify a handler type"},
		{"two handlers", inContainer(`livenessProbe: {exec: {command: [a]}, tcpSocket: {port: 80}}`), c + "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"},
		{"exec without command", inContainer(`readinessProbe: {exec: {}}`), c + "readinessProbe.exec.command: Required value"},
		{"probe port 0", inContainer(`readinessProbe: {httpGet: {port: 0}}`), c + "readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		{"probe port name", inContainer(`readinessProbe: {httpGet: {port: "no_name"}}`), c + `readinessProbe.httpGet.port: Invalid value: "no_name": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`},
		{"probe scheme", inContainer(`readinessProbe: {httpGet: {port: 80, scheme: ftp}}`), c + `readinessProbe.httpGet.scheme: Unsupported value: "ftp": supported values: "HTTP", "HTTPS"`},
		{"probe header", inContainer(`readinessProbe: {httpGet: {port: 80, httpHeaders: [{name: "a b", value: c}]}}`), c + `readinessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric characters or '-'...`},
		{"negative delay", inContainer(`livenessProbe: {tcpSocket: {port: 80}, initialDelaySeconds: -1}`), c + "livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0"},
		{"liveness threshold", inContainer(`livenessProbe: {tcpSocket: {port: 80}, successThreshold: 2}`), c + "livenessProbe.successThreshold: Invalid value: 2: must be 1"},
		{"startup threshold", inContainer(`startupProbe: {tcpSocket: {port: 80}, successThreshold: 2}`), c + "startupProbe.successThreshold: Invalid value: 2: must be 1"},
		{"readiness grace", inContainer(`readinessProbe: {tcpSocket: {port: 80}, terminationGracePeriodSeconds: 5}`), c + "readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"},
		{"liveness grace", inContainer(`livenessProbe: {tcpSocket: {port: 80}, terminationGracePeriodSeconds: 0}`), c + "livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"},
		{"empty hook", inContainer(`lifecycle: {preStop: {}}`), c + "lifecycle.preStop: Required value: must specify a handler type"},
		{"long sleep", inContainer(`lifecycle: {preStop: {sleep: {seconds: 60}}}`), c + "lifecycle.preStop.sleep: Invalid value: 60: must be non-negative and less than terminationGracePeriodSeconds (30)"},
		{"probe of an init container", `{spec: {initContainers: [{name: x, image: i, livenessProbe: {tcpSocket: {port: 1}}}]}}`, "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"},
		{"request above limit", inContainer(`resources: {requests: {cpu: "2"}, limits: {cpu: "1"}}`), c + `resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`},
		{"negative memory", inContainer(`resources: {requests: {memory: -1}}`), c + `resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0`},
		{"unknown resource", inContainer(`resources: {requests: {disk: 1}}`), c + `resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified` + "\n" + c + `resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers`},
		{"resource not of containers", inContainer(`resources: {requests: {pods: 1}}`), c + `resources.requests[pods]: Invalid value: "pods": must be a standard resource for containers`},
		{"extended without limit", inContainer(`resources: {requests: {example.com/gpu: 1}}`), c + "resources.limits: Required value: Limit must be set for non overcommitable resources"},
		{"half a gpu", inContainer(`resources: {limits: {example.com/gpu: 500m}}`), c + `resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer` + "\n" + c + `resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer`},
		{"fewer gpus than the limit", inContainer(`resources: {limits: {example.com/gpu: 2}, requests: {example.com/gpu: 1}}`), c + `resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2`},
		{"escalation of the privileged", inContainer(`securityContext: {privileged: true, allowPrivilegeEscalation: false}`), c + "securityContext: Invalid value: {\"privileged\":true,\"allowPrivilegeEscalation\":false}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"},
		{"negative user", inContainer(`securityContext: {runAsUser: -1}`), c + "securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"},
		{"pod user", `{spec: {securityContext: {runAsUser: -1}}}`, "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"},
		{"sysctl", `{spec: {securityContext: {sysctls: [{name: "a..b", value: "1"}]}}}`, `spec.securityContext.sysctls[0].name: Invalid value: "a..b": must have at most 253 characters...`},
		{"seccomp", `{spec: {securityContext: {seccompProfile: {type: Localhost}}}}`, "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"},
		{"shared pids", `{spec: {shareProcessNamespace: true, hostPID: true}}`, "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"},
		{"deadline", `{spec: {activeDeadlineSeconds: 0}}`, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"},
		{"hostname", `{spec: {hostname: a.b}}`, `spec.hostname: Invalid value: "a.b": must not contain dots`},
		{"service account", `{spec: {serviceAccountName: A}}`, `spec.serviceAccountName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},
		{"node name", `{spec: {nodeName: A}}`, `spec.nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},
		{"node selector", `{spec: {nodeSelector: {"a b": c}}}`, `spec.nodeSelector: Invalid value: "a b": name part must consist of...`},
		{"pull secret", `{spec: {imagePullSecrets: [{}]}}`, ""},
		{"host alias", `{spec: {hostAliases: [{ip: x, hostnames: [a]}]}}`, `spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`},
		{"gate and node", `{spec: {nodeName: n1, schedulingGates: [{name: a.b/c}]}}`, "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"},
		{"gate twice", `{spec: {schedulingGates: [{name: a.b/c}, {name: a.b/c}]}}`, `spec.schedulingGates[1]: Duplicate value: "a.b/c"`},
		{"ephemeral on create", `{spec: {ephemeralContainers: [{name: e, image: i}]}}`, "spec.ephemeralContainers: Forbidden: cannot be set on create"},
		{"toleration without key", `{spec: {tolerations: [{operator: Equal}]}}`, "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""},
		{"toleration operator", `{spec: {tolerations: [{key: a, operator: x}]}}`, `spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"`},
		{"toleration effect", `{spec: {tolerations: [{key: a, effect: x}]}}`, `spec.tolerations[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`},
		{"toleration seconds", `{spec: {tolerations: [{key: a, effect: NoSchedule, tolerationSeconds: 5}]}}`, "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"},
		{"no node terms", `{spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}}}`, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"},
		{"In without values", `{spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}}}`, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"},
		{"affinity weight", `{spec: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, podAffinityTerm: {topologyKey: a}}]}}}}`, "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100"},
		{"topology key", `{spec: {affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{}]}}}}`, "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty" + "\n" + `spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must be non-empty` + "\n" + `spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: "": name part must consist of...`},
		{"spread", `{spec: {topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: x}]}}`, `spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero` + "\n" + `spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": supported values: "DoNotSchedule", "ScheduleAnyway"`},
	})
}

func TestInvalidHostnameOverride(t *testing.T) {
	const at = "spec.hostnameOverride: "
	runInvalid(t, core.Pods, []invalidCase{
		{"valid", `{spec: {hostname: h, subdomain: s, hostnameOverride: a.example}}`, ""},
		{"name", `{spec: {hostnameOverride: Not-RFC1123}}`, at + `Invalid value: "Not-RFC1123": a lowercase RFC 1123 subdomain...`},
		{"long", `{spec: {hostnameOverride: ` + strings.Repeat("a", 65) + `}}`, at + "Too long: may not be more than 64 bytes"},
		{"and the full name", `{spec: {setHostnameAsFQDN: true, hostnameOverride: a}}`, at + "Forbidden: may not be specified when setHostnameAsFQDN is true"},
		{"and the node's", `{spec: {hostNetwork: true, hostnameOverride: a}}`, at + "Forbidden: may not be specified when hostNetwork is true"},
	})
}

func TestInvalidVolumes(t *testing.T) {
	v := func(fields string) string { return `{spec: {volumes: [` + fields + `]}}` }
	at := "spec.volumes[0]."
	runInvalid(t, core.Pods, []invalidCase{
		{"nameless", v(`{emptyDir: {}}`), at + "name: Required value"},
		{"name", v(`{name: a_b, emptyDir: {}}`), at + `name: Invalid value: "a_b": a lowercase RFC 1123 label...`},
		{"twice", v(`{name: a, emptyDir: {}}, {name: a, emptyDir: {}}`), `spec.volumes[1].name: Duplicate value: "a"`},
		{"two sources", v(`{name: a, emptyDir: {}, hostPath: {path: /x}}`), at + "hostPath: Forbidden: may not specify more than 1 volume type"},
		{"hostPath without path", v(`{name: a, hostPath: {}}`), at + "hostPath.path: Required value"},
		{"hostPath up", v(`{name: a, hostPath: {path: /a/../b}}`), at + `hostPath.path: Invalid value: "/a/../b": must not contain '..'`},
		{"hostPath type", v(`{name: a, hostPath: {path: /a, type: x}}`), at + `hostPath.type: Unsupported value: "x": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"`},
		{"nfs", v(`{name: a, nfs: {path: x}}`), at + "nfs.server: Required value\n" + at + `nfs.path: Invalid value: "x": must be an absolute path`},
		{"git", v(`{name: a, gitRepo: {directory: /x}}`), at + "gitRepo.repository: Required value\n" + at + `gitRepo.directory: Invalid value: "/x": must be a relative path`},
		{"secret", v(`{name: a, secret: {}}`), at + "secret.secretName: Required value"},
		{"secret mode", v(`{name: a, secret: {secretName: s, defaultMode: 4096}}`), at + "secret.defaultMode: Invalid value: 4096: must be a number between 0 and 0777 (octal), both inclusive"},
		{"secret item", v(`{name: a, secret: {secretName: s, items: [{key: k, path: ..x}]}}`), at + `secret.items[0].path: Invalid value: "..x": must not start with '..'`},
		{"config map", v(`{name: a, configMap: {items: [{path: x}]}}`), at + "configMap.name: Required value\n" + at + "configMap.items[0].key: Required value"},
		{"claim", v(`{name: a, persistentVolumeClaim: {claimName: ""}}`), at + "persistentVolumeClaim.claimName: Required value"},
		{"downward", v(`{name: a, downwardAPI: {items: [{path: x}]}}`), at + "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"},
		{"token", v(`{name: a, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 5}}]}}`), at + "projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes" + "\n" + at + "projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set"},
		{"projected conflict", v(`{name: a, projected: {sources: [{secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: c, items: [{key: k, path: p}]}}]}}`), at + `projected: Invalid value: "c": conflicting duplicate paths`},
		{"empty dir size", v(`{name: a, emptyDir: {sizeLimit: -1}}`), at + "emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"},
		{"gce", v(`{name: a, gcePersistentDisk: {pdName: ""}}`), at + "persistentDisk.pdName: Required value"},
		{"glusterfs", v(`{name: a, glusterfs: {endpoints: "", path: x}}`), at + "glusterfs.endpoints: Required value"},
		{"image", v(`{name: a, image: {reference: "busybox:1"}}`), ""},
		{"no image", v(`{name: a, image: {}}`), at + "image.reference: Required value"},
		{"image and more", v(`{name: a, emptyDir: {}, image: {reference: "busybox:1"}}`), at + "image: Forbidden: may not specify more than 1 volume type"},
		{"image pulled at times", v(`{name: a, image: {reference: "busybox:1", pullPolicy: Sometimes}}`), at + `image.pullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"`},
	})
	runInvalid(t, apps.ReplicaSets, []invalidCase{
		{"an image that is still to be named", `{spec: {template: {spec: {volumes: [{name: a, image: {}}]}}}}`, ""},
	})
}
