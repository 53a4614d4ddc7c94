package builtin

import (
	"testing"

	"wheelhouse/cluster/api/certificates"
	"wheelhouse/cluster/api/coordination"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/discovery"
	"wheelhouse/cluster/api/node"
	"wheelhouse/cluster/api/rbac"
	"wheelhouse/cluster/api/review"
	"wheelhouse/cluster/api/scheduling"
	"wheelhouse/cluster/api/storage"
)

func TestInvalidServices(t *testing.T) {
	runInvalid(t, core.Services, []invalidCase{
		{"valid", `{}`, ""},
		{"name begins with a digit", `{metadata: {name: 1a}}`, ""},
		{"no ports", `{spec: {ports: null}}`, "spec.ports: Required value"},
		{"headless needs none", `{spec: {ports: null, clusterIP: None}}`, ""},
		{"type", `{spec: {type: x}}`, `spec.type: Unsupported value: "x": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`},
		{"affinity", `{spec: {sessionAffinity: x}}`, `spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"`},
		{"affinity time", `{spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}}}`, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400"},
		{"port", `{spec: {ports: [{port: 0, targetPort: 80}]}}`, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		{"target", `{spec: {ports: [{port: 80, targetPort: 70000}]}}`, "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"target name", `{spec: {ports: [{port: 80, targetPort: "-x"}]}}`, `spec.ports[0].targetPort: Invalid value: "-x": must not begin or end with a hyphen`},
		{"protocol", `{spec: {ports: [{port: 80, protocol: HTTP}]}}`, `spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"`},
		{"two ports without names", `{spec: {ports: [{port: 80}, {port: 81}]}}`, "spec.ports[0].name: Required value\nspec.ports[1].name: Required value"},
		{"one name for two ports", `{spec: {ports: [{port: 80, name: a}, {port: 81, name: a}]}}`, `spec.ports[1].name: Duplicate value: "a"`},
		{"one port twice", `{spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}}`, `spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80,"targetPort":0}`},
		{"node port of a cluster ip", `{spec: {ports: [{port: 80, nodePort: 30000}]}}`, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
		{"headless node port", `{spec: {type: NodePort, clusterIP: None}}`, `spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`},
		{"cluster ip", `{spec: {clusterIP: x}}`, `spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`},
		{"selector", `{spec: {selector: {a: "b c"}}}`, `spec.selector: Invalid value: "b c": a valid label must be an empty string or consist of...`},
		{"external name", `{spec: {type: ExternalName, clusterIP: null, externalName: a_b}}`, `spec.externalName: Invalid value: "a_b": a lowercase RFC 1123 subdomain...`},
		{"no external name", `{spec: {type: ExternalName, clusterIP: null}}`, "spec.externalName: Required value"},
		{"external name with an address", `{spec: {type: ExternalName, externalName: a.b}}`, "spec.clusterIPs: Forbidden: may not be set for ExternalName services"},
		{"external ip", `{spec: {externalIPs: [127.0.0.1]}}`, `spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`},
		{"external policy", `{spec: {externalTrafficPolicy: Local}}`, `spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`},
		{"internal policy", `{spec: {internalTrafficPolicy: x}}`, `spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"`},
		{"distribution", `{spec: {trafficDistribution: PreferFar}}`, `spec.trafficDistribution: Unsupported value: "PreferFar": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"`},
		{"known distribution", `{spec: {trafficDistribution: PreferSameNode}}`, ""},
		{"source ranges", `{spec: {loadBalancerSourceRanges: [10.0.0.0/8]}}`, "spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"},
		{"ipv6", `{spec: {ipFamilies: [IPv6]}}`, "spec.clusterIPs[0]: Invalid value: \"10.247.0.5\": expected an IPv6 value as indicated by `ipFamilies[0]`"},
		{"dual stack", `{spec: {ipFamilyPolicy: RequireDualStack}}`, ""},
	})
}

func TestInvalidReplicationControllers(t *testing.T) {
	runInvalid(t, core.ReplicationControllers, []invalidCase{
		{"valid", `{}`, ""},
		{"negative", `{spec: {replicas: -1}}`, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		{"no template", `{spec: {template: null}}`, "spec.template: Required value"},
		{"no labels at all", `{spec: {selector: null, template: {metadata: null}}}`, "spec.selector: Required value"},
		{"selector does not match", `{spec: {selector: {a: c}}}`, "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
		{"deadline", `{spec: {template: {spec: {activeDeadlineSeconds: 5}}}}`, "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported"},
		{"restart policy", `{spec: {template: {spec: {restartPolicy: Never}}}}`, `spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`},
		{"template label", `{spec: {template: {metadata: {labels: {c: "d e"}}}}}`, `metadata.labels: Invalid value: "d e": a valid label...` + "\n" + `spec.template.labels: Invalid value: "d e": a valid label...`},
		{"template volume", `{spec: {template: {spec: {volumes: [{name: v, hostPath: {}}]}}}}`, "spec.template.spec.volumes[0].hostPath.path: Required value"},
		{"min ready", `{spec: {minReadySeconds: -1}}`, "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"},
	})
}

func TestInvalidStorage(t *testing.T) {
	runInvalid(t, core.PersistentVolumes, []invalidCase{
		{"valid", `{}`, ""},
		{"namespace", `{metadata: {namespace: ns}}`, "metadata.namespace: Forbidden: not allowed on this type"},
		{"no modes", `{spec: {accessModes: null}}`, "spec.accessModes: Required value"},
		{"mode", `{spec: {accessModes: [RWO]}}`, `spec.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`},
		{"no capacity", `{spec: {capacity: null}}`, "spec.capacity: Required value\n" + `spec.capacity: Unsupported value: null: supported values: "storage"`},
		{"zero", `{spec: {capacity: {storage: 0}}}`, `spec.capacity[storage]: Invalid value: "0": must be greater than zero`},
		{"no source", `{spec: {hostPath: null}}`, "spec: Required value: must specify a volume type"},
		{"two sources", `{spec: {nfs: {server: s, path: /p}}}`, "spec.nfs: Forbidden: may not specify more than 1 volume type"},
		{"policy", `{spec: {persistentVolumeReclaimPolicy: x}}`, `spec.persistentVolumeReclaimPolicy: Unsupported value: "x": supported values: "Delete", "Recycle", "Retain"`},
		{"node affinity", `{spec: {nodeAffinity: {}}}`, "spec.nodeAffinity.required: Required value: must specify required node constraints"},
		{"node terms", `{spec: {nodeAffinity: {required: {nodeSelectorTerms: []}}}}`, "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"},
		{"relative NFS path", `{spec: {hostPath: null, nfs: {server: s, path: p}}}`, `spec.nfs.path: Invalid value: "p": must be an absolute path`},
		{"recycled root", `{spec: {persistentVolumeReclaimPolicy: Recycle, hostPath: {path: /}}}`, "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"},
		{"local anywhere", `{spec: {hostPath: null, local: {path: /x}}}`, "spec.nodeAffinity: Required value: Local volume requires node affinity"},
		{"volume mode", `{spec: {volumeMode: x}}`, `spec.volumeMode: Unsupported value: "x": supported values: "Block", "Filesystem"`},
	})
	runInvalid(t, core.PersistentVolumeClaims, []invalidCase{
		{"valid", `{}`, ""},
		{"no modes", `{spec: {accessModes: null}}`, "spec.accessModes: Required value: at least 1 access mode is required"},
		{"no size", `{spec: {resources: null}}`, "spec.resources[storage]: Required value"},
		{"zero", `{spec: {resources: {requests: {storage: 0}}}}`, `spec.resources[storage]: Invalid value: "0": must be greater than zero`},
		{"class", `{spec: {storageClassName: A}}`, `spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain...`},
	})
	runInvalid(t, storage.StorageClasses, []invalidCase{
		{"valid", `{}`, ""},
		{"no provisioner", `{provisioner: null}`, "provisioner: Required value"},
		{"policy", `{reclaimPolicy: Recycle}`, `reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"`},
		{"mode", `{volumeBindingMode: x}`, `volumeBindingMode: Unsupported value: "x": supported values: "Immediate", "WaitForFirstConsumer"`},
	})
}

func TestInvalidEndpoints(t *testing.T) {
	runInvalid(t, core.Endpoints, []invalidCase{
		{"valid", `{}`, ""},
		{"no addresses", `{subsets: [{ports: [{port: 80}]}]}`, "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"},
		{"ip", `{subsets: [{addresses: [{ip: x}]}]}`, `subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)` + "\n" + `subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address`},
		{"loopback", `{subsets: [{addresses: [{ip: 127.0.0.1}]}]}`, `subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`},
		{"link-local", `{subsets: [{addresses: [{ip: 169.254.1.1}]}]}`, `subsets[0].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`},
		{"nowhere", `{subsets: [{addresses: [{ip: 0.0.0.0}]}]}`, `subsets[0].addresses[0].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`},
		{"port", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 66000}]}]}`, "subsets[0].ports[0].port: Invalid value: 66000: must be between 1 and 65535, inclusive"},
		{"two ports without names", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}, {port: 81}]}]}`, "subsets[0].ports[0].name: Required value\nsubsets[0].ports[1].name: Required value"},
	})
	runInvalid(t, discovery.EndpointSlices, []invalidCase{
		{"valid", `{}`, ""},
		{"type", `{addressType: x}`, `addressType: Unsupported value: "x": supported values: "FQDN", "IPv4", "IPv6"`},
		{"no type", `{addressType: null}`, "addressType: Required value"},
		{"no address", `{endpoints: [{addresses: []}]}`, "endpoints[0].addresses: Required value: must contain at least 1 address"},
		{"family", `{endpoints: [{addresses: ["fd00::1"]}]}`, `endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address`},
		{"zone hints", `{endpoints: [{addresses: [10.1.2.3], hints: {forZones: [{name: a}, {name: a}, {name: "b c"}]}}]}`, `endpoints[0].hints.forZones[1].name: Duplicate value: "a"` + "\n" + `endpoints[0].hints.forZones[2].name: Invalid value: "b c": a valid label must be...`},
		{"node hints", `{endpoints: [{addresses: [10.1.2.3], hints: {forNodes: [{name: a}, {name: a}, {name: "b c"}]}}]}`, `endpoints[0].hints.forNodes[1].name: Duplicate value: "a"` + "\n" + `endpoints[0].hints.forNodes[2].name: Invalid value: "b c": a lowercase RFC 1123 subdomain must consist of...`},
		{"many hints", `{endpoints: [{addresses: [10.1.2.3], hints: {forNodes: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}, {name: f}, {name: g}, {name: h}, {name: i}]}}]}`, "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"},
		{"ports twice", `{ports: [{name: a, port: 1}, {name: a, port: 2}]}`, `ports[1].name: Duplicate value: "a"`},
	})
}

func TestInvalidSettings(t *testing.T) {
	runInvalid(t, core.ConfigMaps, []invalidCase{
		{"valid", `{data: {a.b-c_D: x}}`, ""},
		{"key", `{data: {"a b": x}}`, `data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.'...`},
		{"key up", `{data: {"..": x}}`, `data[..]: Invalid value: "..": must not be '..'`},
		{"in both", `{data: {a: x}, binaryData: {a: eA==}}`, `data[a]: Invalid value: "a": duplicate of key present in binaryData`},
	})
	runInvalid(t, core.Secrets, []invalidCase{
		{"valid", `{stringData: {a: b}}`, ""},
		{"key", `{data: {"a/b": eA==}}`, `data[a/b]: Invalid value: "a/b": a valid config key must consist of...`},
		{"tls", `{type: kubernetes.io/tls}`, "data[tls.crt]: Required value\ndata[tls.key]: Required value"},
		{"token", `{type: kubernetes.io/service-account-token}`, "metadata.annotations[kubernetes.io/service-account.name]: Required value"},
		{"docker", `{type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "x"}}`, `data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character 'x' looking for beginning of value`},
		{"basic auth", `{type: kubernetes.io/basic-auth}`, "data[username]: Required value\ndata[password]: Required value"},
		{"ssh", `{type: kubernetes.io/ssh-auth}`, "data[ssh-privatekey]: Required value"},
	})
	runInvalid(t, core.ServiceAccounts, []invalidCase{{"name", `{metadata: {name: A}}`, `metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain...`}})
	runInvalid(t, coordination.Leases, []invalidCase{
		{"valid", `{}`, ""},
		{"duration", `{spec: {leaseDurationSeconds: 0}}`, "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"},
		{"preferred holder", `{spec: {preferredHolder: a}}`, ""},
		{"transitions", `{spec: {leaseTransitions: -1}}`, "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"},
	})
	runInvalid(t, core.ResourceQuotas, []invalidCase{
		{"valid", `{}`, ""},
		{"no scope", `{spec: {scopeSelector: {matchExpressions: [{}]}}}`, `spec.scopeSelector.matchExpressions.scopeName: Invalid value: "": unsupported scope` + "\n" + `spec.scopeSelector.matchExpressions.operator: Invalid value: "": not a valid selector operator`},
		{"half a pod", `{spec: {hard: {pods: 500m}}}`, `spec.hard[pods]: Invalid value: "500m": must be an integer`},
		{"scope", `{spec: {scopes: [x]}}`, `spec.scopes: Invalid value: ["x"]: unsupported scope`},
	})
	runInvalid(t, core.LimitRanges, []invalidCase{
		{"valid", `{}`, ""},
		{"min above max", `{spec: {limits: [{type: Pod, min: {cpu: "3"}, max: {cpu: "2"}}]}}`, `spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2`},
		{
			"min above default", `{spec: {limits: [{type: Container, min: {cpu: "3"}, default: {cpu: "1"}, max: {cpu: "4"}}]}}`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 3 is greater than default request value 1` + "\n" +
				`spec.limits[0].default[cpu]: Invalid value: "3": min value 3 is greater than default value 1`,
		},
		{"ratio", `{spec: {limits: [{type: Pod, maxLimitRequestRatio: {cpu: 500m}}]}}`, `spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`},
		{"default of a pod", `{spec: {limits: [{type: Pod, default: {cpu: "1"}}]}}`, "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"},
	})
	runInvalid(t, node.RuntimeClasses, []invalidCase{
		{"valid", `{overhead: {podFixed: {cpu: 10m, memory: 1Mi}}, scheduling: {nodeSelector: {a: b}, tolerations: [{key: a, operator: Exists}, {key: b, operator: Exists}]}}`, ""},
		{"no handler", `{handler: null}`, "handler: Required value"},
		{"handler", `{handler: Run_C}`, `handler: Invalid value: "Run_C": a lowercase RFC 1123 label...`},
		{"less than nothing", `{overhead: {podFixed: {cpu: -10m}}}`, `overhead.limits[cpu]: Invalid value: "-10m": must be greater than or equal to 0`},
		{"no resource", `{overhead: {podFixed: {nope: 1}}}`, `overhead.limits[nope]: Invalid value: "nope": must be a standard resource type or fully qualified` + "\n" + `overhead.limits[nope]: Invalid value: "nope": must be a standard resource for containers`},
		{"selector", `{scheduling: {nodeSelector: {"-": b}}}`, `scheduling.nodeSelector: Invalid value: "-"...`},
		{"toleration", `{scheduling: {tolerations: [{key: a, operator: Maybe}]}}`, `scheduling.tolerations[0].operator: Unsupported value: "Maybe": supported values: "Equal", "Exists"`},
		{"toleration twice", `{scheduling: {tolerations: [{key: a, operator: Exists, effect: NoExecute}, {key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]}}`, `scheduling.tolerations[1]: Duplicate value: {"key":"a","operator":"Exists","effect":"NoExecute","tolerationSeconds":5}`},
	})
	runInvalid(t, scheduling.PriorityClasses, []invalidCase{
		{"valid", `{}`, ""},
		{"too high", `{value: 1000000001}`, "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
		{"the system's", `{metadata: {name: system-x}}`, "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"},
		{"no policy", `{preemptionPolicy: ""}`, "preemptionPolicy: Required value"},
		{"policy", `{preemptionPolicy: x}`, `preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never"`},
	})
}

func TestInvalidCluster(t *testing.T) {
	runInvalid(t, core.Namespaces, []invalidCase{
		{"valid", `{}`, ""},
		{"dots", `{metadata: {name: a.b}}`, `metadata.name: Invalid value: "a.b": must not contain dots`},
		{"finalizer", `{spec: {finalizers: [x]}}`, `spec.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified`},
	})
	runInvalid(t, core.Nodes, []invalidCase{
		{"valid", `{}`, ""},
		{"cidr", `{spec: {podCIDR: x}}`, `spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`},
		{"two cidrs", `{spec: {podCIDRs: [10.246.1.0/24, "fd00::/64"]}}`, ""},
		{"two cidrs of a family", `{spec: {podCIDRs: [10.246.1.0/24, 10.246.2.0/24]}}`, `spec.podCIDRs: Invalid value: ["10.246.1.0/24","10.246.2.0/24"]: may specify no more than one CIDR for each IP family`},
		{"three cidrs", `{spec: {podCIDRs: [10.246.1.0/24, "fd00::/64", 10.246.2.0/24]}}`, `spec.podCIDRs: Invalid value: ["10.246.1.0/24","fd00::/64","10.246.2.0/24"]: may specify no more than one CIDR for each IP family`},
		{"taint without effect", `{spec: {taints: [{key: a}]}}`, "metadata.taints[0].effect: Required value"},
		{"taint effect", `{spec: {taints: [{key: a, effect: x}]}}`, `metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`},
		{"taint twice", `{spec: {taints: [{key: a, effect: NoExecute}, {key: a, effect: NoExecute}]}}`, `metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoExecute"}: taints must be unique by key and effect pair`},
	})
	runInvalid(t, core.Events, []invalidCase{
		{"valid", `{}`, ""},
		{"elsewhere", `{involvedObject: {namespace: other}}`, `involvedObject.namespace: Invalid value: "other": does not match event.namespace`},
		{"of a node, here", `{involvedObject: {namespace: null}}`, `involvedObject.namespace: Invalid value: "": does not match event.namespace`},
		{"new without action", `{eventTime: "2026-01-02T03:04:05.000000Z", reportingComponent: k, reportingInstance: i}`, "action: Required value"},
	})
	runInvalid(t, core.Bindings, []invalidCase{
		{"valid", `{}`, ""},
		{"no target", `{target: {name: null}}`, "target.name: Required value"},
		{"kind", `{target: {kind: Pod}}`, `target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"`},
	})
}

func TestInvalidRBAC(t *testing.T) {
	runInvalid(t, rbac.Roles, []invalidCase{
		{"valid", `{metadata: {name: "a:b"}}`, ""},
		{"name", `{metadata: {name: a/b}}`, `metadata.name: Invalid value: "a/b": may not contain '/'`},
		{"no verbs", `{rules: [{apiGroups: [""], resources: [pods]}]}`, "rules[0].verbs: Required value: verbs must contain at least one value"},
		{"no groups", `{rules: [{verbs: [get], resources: [pods]}]}`, "rules[0].apiGroups: Required value: resource rules must supply at least one api group"},
		{"no resources", `{rules: [{verbs: [get], apiGroups: [""]}]}`, "rules[0].resources: Required value: resource rules must supply at least one resource"},
		{"paths in a namespace", `{rules: [{verbs: [get], nonResourceURLs: [/x]}]}`, `rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs`},
	})
	runInvalid(t, rbac.ClusterRoles, []invalidCase{
		{"valid", `{}`, ""},
		{"both", `{rules: [{verbs: [get], nonResourceURLs: [/x], apiGroups: [""]}]}`, `rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs`},
		{"aggregation by a bad label", `{aggregationRule: {clusterRoleSelectors: [{matchLabels: {"-": x}}]}}`, `aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "-": name part must consist of...` + "\n" + `aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.`},
		{"aggregation", `{aggregationRule: {}}`, "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"},
	})
	runInvalid(t, rbac.RoleBindings, []invalidCase{
		{"valid", `{}`, ""},
		{"ref kind", `{roleRef: {kind: x}}`, `roleRef.kind: Unsupported value: "x": supported values: "Role", "ClusterRole"`},
		{"ref name", `{roleRef: {name: null}}`, "roleRef.name: Required value"},
		{"ref group", `{roleRef: {apiGroup: x}}`, `roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io"`},
		{"subject", `{subjects: [{kind: x, name: y}]}`, `subjects[0].kind: Unsupported value: "x": supported values: "ServiceAccount", "User", "Group"`},
		{"subject name", `{subjects: [{kind: User}]}`, "subjects[0].name: Required value"},
	})
	runInvalid(t, rbac.ClusterRoleBindings, []invalidCase{
		{"valid", `{}`, ""},
		{"role", `{roleRef: {kind: Role}}`, `roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"`},
		{"account of no namespace", `{subjects: [{kind: ServiceAccount, name: a}]}`, "subjects[0].namespace: Required value"},
	})
}

func TestInvalidReviews(t *testing.T) {
	runInvalid(t, review.SubjectAccessReviews, []invalidCase{
		{"valid", `{}`, ""},
		{"nobody", `{spec: {user: null}}`, `spec.user: Invalid value: "": at least one of user or group must be specified`},
		{"both", `{spec: {nonResourceAttributes: {path: /x}}}`, `spec.nonResourceAttributes: Invalid value: {"path":"/x"}: cannot be specified in combination with resourceAttributes`},
	})
	runInvalid(t, review.SelfSubjectAccessReviews, []invalidCase{
		{"nothing", `{spec: {resourceAttributes: null}}`, "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"},
	})
	runInvalid(t, review.LocalSubjectAccessReviews, []invalidCase{
		{"valid", `{}`, ""},
		{"elsewhere", `{spec: {resourceAttributes: {namespace: other}}}`, `spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace`},
	})
	runInvalid(t, certificates.CertificateSigningRequests, []invalidCase{
		{"valid", `{}`, ""},
		{"usage", `{spec: {usages: [x]}}`, `spec.usages[0]: Unsupported value: "x": supported values: "any"...`},
		{"signer", `{spec: {signerName: x}}`, `spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'`},
		{"short", `{spec: {expirationSeconds: 5}}`, "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)"},
	})
}

func TestInvalidUpdates(t *testing.T) {
	const podImmutable = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`..."
	runUpdates(t, []updateCase{
		{core.Pods, "nothing", `{}`, `{}`, ""},
		{core.Pods, "image", `{}`, `{spec: {containers: [{name: c, image: "busybox:2", imagePullPolicy: IfNotPresent}]}}`, ""},
		{core.Pods, "labels", `{}`, `{metadata: {labels: {a: b}}}`, ""},
		{core.Pods, "name", `{}`, `{metadata: {name: q}}`, `metadata.name: Invalid value: "q": field is immutable`},
		{core.Pods, "env", `{}`, `{spec: {containers: [{name: c, image: "busybox:1", env: [{name: a, value: b}]}]}}`, podImmutable},
		{core.Pods, "node", `{}`, `{spec: {nodeName: n1}}`, podImmutable},
		{core.Pods, "one more container", `{}`, `{spec: {containers: [{name: c, image: "busybox:1"}, {name: d, image: "busybox:1"}]}}`, "spec.containers: Forbidden: pod updates may not add or remove containers"},
		{core.Pods, "shorter deadline", `{spec: {activeDeadlineSeconds: 10}}`, `{spec: {activeDeadlineSeconds: 5}}`, ""},
		{core.Pods, "longer deadline", `{spec: {activeDeadlineSeconds: 10}}`, `{spec: {activeDeadlineSeconds: 50}}`, "spec.activeDeadlineSeconds: Invalid value: 50: must be less than or equal to previous value"},
		{core.Pods, "no deadline", `{spec: {activeDeadlineSeconds: 10}}`, `{}`, "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"},
		{core.Pods, "more tolerated", `{spec: {tolerations: [{key: a}]}}`, `{spec: {tolerations: [{key: a}, {key: b}]}}`, ""},
		{core.Pods, "less tolerated", `{spec: {tolerations: [{key: a}]}}`, `{}`, "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"},
		{core.Pods, "gate opened", `{spec: {schedulingGates: [{name: a.b/c}]}}`, `{}`, ""},
		{core.Pods, "gate closed", `{}`, `{spec: {schedulingGates: [{name: a.b/c}]}}`, "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a.b/c'"},
		{core.Pods, "narrower while gated", `{spec: {schedulingGates: [{name: a.b/c}]}}`, `{spec: {schedulingGates: [{name: a.b/c}], nodeSelector: {a: b}}}`, ""},
		{core.Pods, "selector", `{}`, `{spec: {nodeSelector: {a: b}}}`, podImmutable},

		{core.Services, "address left out", `{}`, `{spec: {clusterIP: null}}`, ""},
		{core.Services, "address", `{}`, `{spec: {clusterIP: 10.247.0.6}}`, `spec.clusterIPs[0]: Invalid value: ["10.247.0.6"]: may not change once set`},
		{core.Services, "bad address", `{}`, `{spec: {clusterIP: x}}`, `spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`},
		{core.Services, "bad family", `{}`, `{spec: {ipFamilies: [x]}}`, `spec.ipFamilies[0]: Unsupported value: "x": supported values: "IPv4", "IPv6"`},
		{core.Services, "to a name", `{}`, `{spec: {type: ExternalName, externalName: a.b, clusterIP: 10.247.0.5}}`, ""},
		{core.Services, "from node port", `{spec: {type: NodePort, ports: [{port: 80, nodePort: 30001}]}}`, `{spec: {ports: [{port: 80, nodePort: 30001}]}}`, ""},

		{core.Secrets, "type", `{}`, `{type: example.com/x}`, `type: Invalid value: "example.com/x": field is immutable`},
		{core.Secrets, "immutable data", `{immutable: true, data: {a: eA==}}`, `{immutable: true, data: {a: eQ==}}`, "data: Forbidden: field is immutable when `immutable` is set"},
		{core.Secrets, "mutable again", `{immutable: true}`, `{}`, "immutable: Forbidden: field is immutable when `immutable` is set"},
		{core.ConfigMaps, "immutable data", `{immutable: true, data: {a: x}}`, `{immutable: true, data: {a: y}}`, "data: Forbidden: field is immutable when `immutable` is set"},
		{core.Nodes, "first cidr", `{}`, `{spec: {podCIDR: 10.246.1.0/24}}`, ""},
		{core.Nodes, "cidr", `{spec: {podCIDR: 10.246.1.0/24}}`, `{spec: {podCIDR: 10.246.2.0/24}}`, `spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`},
		{core.Nodes, "later cidrs", `{spec: {podCIDR: 10.246.1.0/24}}`, `{spec: {podCIDR: 10.246.1.0/24, podCIDRs: [x]}}`, ""},
		{core.Nodes, "external ID", `{}`, `{spec: {externalID: a}}`, `spec.externalID: Forbidden: may not be updated`},
		{core.Nodes, "first provider", `{}`, `{spec: {providerID: a}}`, ""},
		{core.Nodes, "provider", `{spec: {providerID: a}}`, `{spec: {providerID: b}}`, `spec.providerID: Forbidden: node updates may not change providerID except from "" to valid`},
		{core.ReplicationControllers, "scale", `{}`, `{spec: {replicas: 5}}`, ""},
		{core.ReplicationControllers, "selector", `{}`, `{spec: {selector: {x: y}}}`, "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"},
		{core.PersistentVolumes, "claim", `{}`, `{spec: {claimRef: {namespace: ns, name: c}}}`, ""},
		{core.PersistentVolumes, "source", `{}`, `{spec: {hostPath: {path: /other}}}`, "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation..."},
		{core.PersistentVolumeClaims, "bound", `{}`, `{spec: {volumeName: v}}`, ""},
		{core.PersistentVolumeClaims, "another volume", `{spec: {volumeName: v}}`, `{spec: {volumeName: w}}`, "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims..."},
		{core.PersistentVolumeClaims, "grow unbound", `{}`, `{spec: {resources: {requests: {storage: 2Gi}}}}`, "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims..."},
		{rbac.RoleBindings, "role", `{}`, `{roleRef: {name: other}}`, `roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"other"}: cannot change roleRef`},
		{discovery.EndpointSlices, "type", `{}`, `{addressType: FQDN, endpoints: [{addresses: [a.example.com]}]}`, `addressType: Invalid value: "FQDN": field is immutable`},
		{scheduling.PriorityClasses, "value", `{}`, `{value: 5}`, "value: Forbidden: may not be changed in an update."},
		{node.RuntimeClasses, "handler", `{}`, `{handler: kata}`, `handler: Invalid value: "kata": field is immutable`},
		{storage.StorageClasses, "provisioner", `{}`, `{provisioner: a.b/c}`, `provisioner: Invalid value: "a.b/c": field is immutable`},
	})
}

func TestInvalidLoadBalancerStatus(t *testing.T) {
	for _, c := range []struct{ name, ingress, want string }{
		{"address", `[{ip: 203.0.113.1}]`, ""},
		{"by the proxy", `[{ip: 203.0.113.1, ipMode: Proxy}]`, ""},
		{"mode", `[{ip: 203.0.113.1, ipMode: Maybe}]`, `status.loadBalancer.ingress[0].ipMode: Unsupported value: "Maybe": supported values: "Proxy", "VIP"`},
		{"mode of no address", `[{hostname: a.b, ipMode: VIP}]`, "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"},
		{
			"address and name", `[{ip: x, hostname: "-"}]`,
			`status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address...
status.loadBalancer.ingress[0].hostname: Invalid value: "-"...`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := read(t, core.Services, `{spec: {type: LoadBalancer}}`)
			create(core.Services, old)
			obj := read(t, core.Services, `{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: `+c.ingress+`}}}`)
			old.SetResourceVersion("1")
			obj.SetResourceVersion("1")
			core.Services.Default(obj)
			core.Services.PrepareStatus(obj, old)
			matches(t, core.Services.ValidateStatus(obj, old), c.want)
		})
	}
}
