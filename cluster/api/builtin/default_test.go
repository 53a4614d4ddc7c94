package builtin

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/discovery"
	"wheelhouse/cluster/api/rbac"
	"wheelhouse/cluster/api/rules"
	"wheelhouse/cluster/api/scheduling"
	"wheelhouse/cluster/api/storage"
)

const defaultedContainer = `terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File`

const defaultedPodSpec = `restartPolicy: Always, dnsPolicy: ClusterFirst, schedulerName: default-scheduler,
  securityContext: {}, terminationGracePeriodSeconds: 30`

func TestDefaults(t *testing.T) {
	runDefaults(t, []defaultCase{
		{
			"pod", core.Pods, `{spec: {containers: [{name: c, image: "busybox:1"}]}}`,
			`{spec: {` + defaultedPodSpec + `, enableServiceLinks: true,
			  containers: [{name: c, image: "busybox:1", imagePullPolicy: IfNotPresent, ` + defaultedContainer + `}]}}`,
		},
		{
			"pod with a negative grace period", core.Pods, `{spec: {terminationGracePeriodSeconds: -1, containers: [{name: c, image: "busybox:1"}]}}`,
			`{spec: {restartPolicy: Always, dnsPolicy: ClusterFirst, schedulerName: default-scheduler, securityContext: {}, terminationGracePeriodSeconds: 1, enableServiceLinks: true,
			  containers: [{name: c, image: "busybox:1", imagePullPolicy: IfNotPresent, ` + defaultedContainer + `}]}}`,
		},
		{
			"pod with all that has defaults", core.Pods, `{spec: {serviceAccount: sa, hostNetwork: true, containers: [{name: c, image: busybox,
			  ports: [{containerPort: 80}],
			  env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.name}}}],
			  resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}},
			  readinessProbe: {httpGet: {port: 80}},
			  lifecycle: {preStop: {httpGet: {port: 80, path: /x}}}}],
			  volumes: [{name: a}, {name: b, secret: {secretName: s}}, {name: c, hostPath: {path: /x}},
			    {name: d, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}}`,
			`{spec: {` + defaultedPodSpec + `, enableServiceLinks: true, serviceAccount: sa, serviceAccountName: sa, hostNetwork: true,
			  containers: [{name: c, image: busybox, imagePullPolicy: Always, ` + defaultedContainer + `,
			  ports: [{containerPort: 80, hostPort: 80, protocol: TCP}],
			  env: [{name: a, valueFrom: {fieldRef: {fieldPath: metadata.name, apiVersion: v1}}}],
			  resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m, memory: 1Gi}},
			  readinessProbe: {httpGet: {port: 80, path: /, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3},
			  lifecycle: {preStop: {httpGet: {port: 80, path: /x, scheme: HTTP}}}}],
			  volumes: [{name: a, emptyDir: {}}, {name: b, secret: {secretName: s, defaultMode: 420}}, {name: c, hostPath: {path: /x, type: ""}},
			    {name: d, projected: {defaultMode: 420, sources: [{serviceAccountToken: {path: t, expirationSeconds: 3600}}]}}]}}`,
		},
		{
			"controller", core.ReplicationControllers, `{spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`,
			`{metadata: {labels: {a: b}}, spec: {replicas: 1, selector: {a: b}, template: {metadata: {labels: {a: b}},
			  spec: {` + defaultedPodSpec + `, containers: [{name: c, image: i, imagePullPolicy: Always, ` + defaultedContainer + `}]}}}}`,
		},
		{
			"service", core.Services, `{spec: {ports: [{port: 80}]}}`,
			`{spec: {type: ClusterIP, sessionAffinity: None, internalTrafficPolicy: Cluster,
			  ports: [{port: 80, targetPort: 80, protocol: TCP}]}}`,
		},
		{
			"node port service with session affinity", core.Services, `{spec: {type: NodePort, sessionAffinity: ClientIP, ports: [{port: 53, protocol: UDP, targetPort: dns}]}}`,
			`{spec: {type: NodePort, sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}, externalTrafficPolicy: Cluster,
			  internalTrafficPolicy: Cluster, ports: [{port: 53, targetPort: dns, protocol: UDP}]}}`,
		},
		{
			"headless service", core.Services, `{spec: {clusterIP: None}}`,
			`{spec: {clusterIP: None, type: ClusterIP, sessionAffinity: None, internalTrafficPolicy: Cluster}}`,
		},
		{"external name", core.Services, `{spec: {type: ExternalName, externalName: a.b}}`, `{spec: {type: ExternalName, externalName: a.b, sessionAffinity: None}}`},
		{
			"load balancer", core.Services, `{spec: {type: LoadBalancer}}`,
			`{spec: {type: LoadBalancer, sessionAffinity: None, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster,
			  allocateLoadBalancerNodePorts: true}}`,
		},
		{
			"load balancer with addresses", core.Services, `{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: a.b}]}}}`,
			`{spec: {type: LoadBalancer, sessionAffinity: None, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster,
			  allocateLoadBalancerNodePorts: true},
			  status: {loadBalancer: {ingress: [{ip: 1.2.3.4, ipMode: VIP}, {hostname: a.b}]}}}`,
		},
		{"endpoints", core.Endpoints, `{subsets: [{ports: [{port: 80}]}]}`, `{subsets: [{ports: [{port: 80, protocol: TCP}]}]}`},
		{"slice", discovery.EndpointSlices, `{ports: [{port: 80}]}`, `{ports: [{port: 80, protocol: TCP, name: ""}]}`},
		{"secret", core.Secrets, `{data: {a: eA==, b: eA==}, stringData: {a: "y"}}`, `{type: Opaque, data: {a: eQ==, b: eA==}}`},
		{"namespace", core.Namespaces, `{metadata: {name: n1}}`, `{metadata: {name: n1, labels: {kubernetes.io/metadata.name: n1}}, status: {phase: Active}}`},
		{
			"node", core.Nodes, `{spec: {podCIDR: 10.246.1.0/24}, status: {capacity: {cpu: 2}}}`,
			`{spec: {podCIDR: 10.246.1.0/24, podCIDRs: [10.246.1.0/24]}, status: {capacity: {cpu: 2}, allocatable: {cpu: 2}}}`,
		},
		{
			"volume", core.PersistentVolumes, `{spec: {hostPath: {path: /x}}}`,
			`{spec: {hostPath: {path: /x, type: ""}, persistentVolumeReclaimPolicy: Retain, volumeMode: Filesystem}, status: {phase: Pending}}`,
		},
		{"claim", core.PersistentVolumeClaims, `{}`, `{spec: {volumeMode: Filesystem}, status: {phase: Pending}}`},
		{
			"role binding", rbac.RoleBindings, `{roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: a}]}`,
			`{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: u}, {kind: ServiceAccount, name: a}]}`,
		},
		{"priority class", scheduling.PriorityClasses, `{value: 1}`, `{value: 1, preemptionPolicy: PreemptLowerPriority}`},
		{"storage class", storage.StorageClasses, `{provisioner: a}`, `{provisioner: a, reclaimPolicy: Delete, volumeBindingMode: Immediate}`},
		{
			"limit range", core.LimitRanges, `{spec: {limits: [{type: Container, max: {cpu: 2}, min: {memory: 1Mi}}]}}`,
			`{spec: {limits: [{type: Container, max: {cpu: 2}, min: {memory: 1Mi}, default: {cpu: 2}, defaultRequest: {cpu: 2, memory: 1Mi}}]}}`,
		},
	})
}

// defaultCase is an object and what it is with its defaults.
type defaultCase struct {
	name     string
	kind     *api.Kind
	in, want string
}

func runDefaults(t *testing.T, cases []defaultCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, want := c.kind.New(), c.kind.New()
			for o, text := range map[api.Object]string{got: c.in, want: c.want} {
				if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
					t.Fatalf("%s\n%v", text, err)
				}
			}
			for _, time := range []string{"first", "second"} {
				got = filledIn(t, c.kind, got)
				got.GetObjectKind().SetGroupVersionKind(want.GetObjectKind().GroupVersionKind())
				if !rules.Equal(got, want) {
					t.Errorf("the %s time: -want +got\n%s", time, diff.Diff(want, got))
				}
			}
		})
	}
}

func TestPullPolicyByTag(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"busybox":                         corev1.PullAlways,
		"Bad_Value!":                      corev1.PullIfNotPresent,
		strings.Repeat("x", 300):          corev1.PullIfNotPresent,
		"busybox:latest":                  corev1.PullAlways,
		"busybox:1.36":                    corev1.PullIfNotPresent,
		"docker.io/tutum/influxdb:latest": corev1.PullAlways,
		"localhost:5000/app":              corev1.PullAlways,
		"localhost:5000/app:2":            corev1.PullIfNotPresent,
		"b.gcr.io/kuar/inspector:1.0.0":   corev1.PullIfNotPresent,
		"busybox@sha256:0123456789abcdef": corev1.PullIfNotPresent,
		"busybox:latest@sha256:" + strings.Repeat("0123456789abcdef", 4): corev1.PullAlways,
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
		core.Pods.Default(pod)
		c := pod.Spec.Containers[0]
		if c.ImagePullPolicy != want {
			t.Errorf("%s: %s, want %s", image, c.ImagePullPolicy, want)
		}
	}
}

func TestCreateResets(t *testing.T) {
	pod := read(t, core.Pods, `{status: {phase: Running, podIP: 1.2.3.4}, spec: {schedulingGates: [{name: a.b/c}]}}`).(*corev1.Pod)
	create(core.Pods, pod)
	if pod.Status.Phase != corev1.PodPending || pod.Status.PodIP != "" || pod.Status.QOSClass != corev1.PodQOSBestEffort || pod.Generation != 1 {
		t.Errorf("pod: generation %d, status %+v", pod.Generation, pod.Status)
	}
	if c := pod.Status.Conditions; len(c) != 1 || c[0].Type != corev1.PodScheduled || c[0].ObservedGeneration != 1 {
		t.Errorf("conditions of a gated pod: %+v", pod.Status.Conditions)
	}
	if got := core.Pods.Row(pod)[2]; got != "SchedulingGated" {
		t.Errorf("STATUS of a gated pod: %v", got)
	}
	rc := read(t, core.ReplicationControllers, `{status: {replicas: 1, observedGeneration: 1}}`).(*corev1.ReplicationController)
	create(core.ReplicationControllers, rc)
	if rc.Status.Replicas != 0 || rc.Generation != 1 {
		t.Errorf("controller: generation %d, status %+v", rc.Generation, rc.Status)
	}
	svc := read(t, core.Services, `{spec: {clusterIP: None}}`).(*corev1.Service)
	create(core.Services, svc)
	s := &svc.Spec
	if len(s.IPFamilies) != 1 || s.IPFamilies[0] != corev1.IPv4Protocol || *s.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || len(s.ClusterIPs) != 1 || s.ClusterIPs[0] != "None" {
		t.Errorf("families of a service: %+v", s)
	}
}

// The two fields for the source of a claim's content have one value; what the older never led to
// is dropped.
func TestDataSources(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`dataSource: {kind: PersistentVolumeClaim, name: a}`, `{"apiGroup":null,"kind":"PersistentVolumeClaim","name":"a"}{"apiGroup":null,"kind":"PersistentVolumeClaim","name":"a"}`},
		{`dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: a}`, `{"apiGroup":"snapshot.storage.k8s.io","kind":"VolumeSnapshot","name":"a"}{"apiGroup":"snapshot.storage.k8s.io","kind":"VolumeSnapshot","name":"a"}`},
		{`dataSource: {apiGroup: a.b, kind: Image, name: a}`, `nullnull`},
		{`dataSourceRef: {apiGroup: a.b, kind: Image, name: a}`, `{"apiGroup":"a.b","kind":"Image","name":"a"}{"apiGroup":"a.b","kind":"Image","name":"a"}`},
		{`dataSourceRef: {apiGroup: a.b, kind: Image, name: a, namespace: ns}`, `null{"apiGroup":"a.b","kind":"Image","name":"a","namespace":"ns"}`},
	} {
		claim := read(t, core.PersistentVolumeClaims, `{spec: {`+c.in+`}}`).(*corev1.PersistentVolumeClaim)
		create(core.PersistentVolumeClaims, claim)
		source, err := json.Marshal(claim.Spec.DataSource)
		ref, refErr := json.Marshal(claim.Spec.DataSourceRef)
		if got := string(source) + string(ref); err != nil || refErr != nil || got != c.want {
			t.Errorf("%s: %s", c.in, got)
		}
	}
}

// The kubelet takes no configuration from the API, so a Node keeps no source of one.
func TestNodeConfigSourceIsDropped(t *testing.T) {
	const source = `{spec: {configSource: {configMap: {namespace: a, name: b, kubeletConfigKey: c}}}, status: {config: {error: e}}}`
	old := read(t, core.Nodes, source).(*corev1.Node)
	matches(t, create(core.Nodes, old), "")
	if old.Spec.ConfigSource != nil || old.Status.Config != nil {
		t.Errorf("after a create: %+v, %+v", old.Spec.ConfigSource, old.Status.Config)
	}
	next := read(t, core.Nodes, source).(*corev1.Node)
	matches(t, update(core.Nodes, next, old), "")
	if next.Spec.ConfigSource != nil {
		t.Errorf("after an update: %+v", next.Spec.ConfigSource)
	}
}

func TestGeneration(t *testing.T) {
	old := read(t, core.ReplicationControllers, `{}`).(*corev1.ReplicationController)
	create(core.ReplicationControllers, old)
	for changes, want := range map[string]int64{`{spec: {replicas: 3}}`: 2, `{metadata: {labels: {x: y}}, status: {replicas: 9}}`: 1} {
		rc := read(t, core.ReplicationControllers, changes).(*corev1.ReplicationController)
		update(core.ReplicationControllers, rc, old)
		if rc.Generation != want || rc.Status.Replicas != 0 {
			t.Errorf("%s: generation %d, want %d; status %+v", changes, rc.Generation, want, rc.Status)
		}
	}
}

func TestStatusUpdateKeepsSpec(t *testing.T) {
	for _, k := range Kinds {
		if !k.HasStatus {
			continue
		}
		base, ok := bases[k]
		if !ok {
			t.Errorf("no base for %s", k.Kind)
			continue
		}
		old := k.New()
		if err := yaml.Unmarshal([]byte(base), old); err != nil {
			t.Fatal(err)
		}
		obj := k.New()
		obj.SetName(old.GetName())
		k.PrepareStatus(obj, old)
		if got, want := specOf(t, obj), specOf(t, old); got != want {
			t.Errorf("%s: a status write left spec %s, was %s", k.Kind, got, want)
		}
	}
}

// The older field of a pod's address follows the newer one that is written alone, and counts where both are.
func TestPodAddressesOfAStatus(t *testing.T) {
	for _, c := range []struct{ status, want string }{
		{`{podIPs: [{ip: 10.0.0.1}]}`, "10.0.0.1"},
		{`{podIP: 10.0.0.2}`, "10.0.0.2"},
		{`{podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.1}]}`, "10.0.0.2"},
	} {
		var p corev1.Pod
		if err := yaml.Unmarshal([]byte("status: "+c.status), &p); err != nil {
			t.Fatal(err)
		}
		core.Pods.PrepareStatus(&p, &corev1.Pod{})
		if p.Status.PodIP != c.want || len(p.Status.PodIPs) != 1 || p.Status.PodIPs[0].IP != c.want {
			t.Errorf("%s: %s, %v", c.status, p.Status.PodIP, p.Status.PodIPs)
		}
	}
}

func specOf(t *testing.T, o api.Object) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return string(m["spec"])
}

func TestServiceUpdateKeepsAllocatedValues(t *testing.T) {
	old := read(t, core.Services, `{spec: {type: NodePort, ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81, nodePort: 30081}]}}`)
	create(core.Services, old)
	old.SetResourceVersion("1")
	obj := read(t, core.Services, `{spec: {type: NodePort, clusterIP: null, ports: [{name: a, port: 80}, {name: c, port: 82}]}}`).(*corev1.Service)
	matches(t, update(core.Services, obj, old), "")
	if obj.Spec.ClusterIP != "10.247.0.5" || obj.Spec.Ports[0].NodePort != 30080 || obj.Spec.Ports[1].NodePort != 0 {
		t.Errorf("clusterIP %s, ports %+v", obj.Spec.ClusterIP, obj.Spec.Ports)
	}
	obj = read(t, core.Services, `{spec: {type: ClusterIP, ports: [{name: a, port: 80, nodePort: 30080}]}}`).(*corev1.Service)
	matches(t, update(core.Services, obj, old), "")
	if obj.Spec.Ports[0].NodePort != 0 || obj.Spec.ExternalTrafficPolicy != "" {
		t.Errorf("as ClusterIP: %+v", obj.Spec)
	}
}

func TestEphemeralContainers(t *testing.T) {
	old := read(t, core.Pods, `{}`).(*corev1.Pod)
	create(core.Pods, old)
	old.ResourceVersion = "1"
	obj := old.DeepCopy()
	obj.Labels = map[string]string{"not": "this way"}
	obj.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "i"}}}
	core.Pods.Default(obj)
	core.Pods.Sub("ephemeralcontainers").Prepare(obj, old)
	matches(t, core.Pods.Sub("ephemeralcontainers").Validate(obj, old), "")
	if len(obj.Labels) != 0 || obj.Generation != 2 {
		t.Errorf("labels %v, generation %d", obj.Labels, obj.Generation)
	}
	gone := obj.DeepCopy()
	gone.Spec.EphemeralContainers = nil
	matches(t, core.Pods.Sub("ephemeralcontainers").Validate(gone, obj), "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed")
}
