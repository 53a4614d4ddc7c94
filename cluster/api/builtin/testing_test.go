package builtin

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

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
	"wheelhouse/cluster/api/review"
	"wheelhouse/cluster/api/scheduling"
	"wheelhouse/cluster/api/storage"
)

// bases has a minimal valid object of each kind. Cases have their changes of it in YAML, in which null removes a
// field.
var bases = map[*api.Kind]string{
	core.Pods: `{metadata: {name: p, namespace: ns}, spec: {containers: [{name: c, image: "busybox:1"}]}}`,
	core.ReplicationControllers: `{metadata: {name: rc, namespace: ns}, spec: {selector: {a: b},
	  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "busybox:1"}]}}}}`,
	core.Services:                           `{metadata: {name: s, namespace: ns}, spec: {ports: [{port: 80}], clusterIP: 10.247.0.5}}`,
	core.Endpoints:                          `{metadata: {name: s, namespace: ns}, subsets: [{addresses: [{ip: 10.1.2.3}], ports: [{port: 80}]}]}`,
	discovery.EndpointSlices:                `{metadata: {name: s, namespace: ns}, addressType: IPv4, endpoints: [{addresses: [10.1.2.3]}], ports: [{port: 80}]}`,
	core.Nodes:                              `{metadata: {name: n1}}`,
	core.Namespaces:                         `{metadata: {name: n1}}`,
	core.Secrets:                            `{metadata: {name: s, namespace: ns}}`,
	core.ConfigMaps:                         `{metadata: {name: c, namespace: ns}}`,
	core.ServiceAccounts:                    `{metadata: {name: a, namespace: ns}}`,
	core.Events:                             `{metadata: {name: e, namespace: ns}, involvedObject: {kind: Pod, name: p, namespace: ns}, reason: R, message: m}`,
	core.PersistentVolumes:                  `{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /data}}}`,
	core.PersistentVolumeClaims:             `{metadata: {name: c, namespace: ns}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
	coordination.Leases:                     `{metadata: {name: l, namespace: ns}, spec: {holderIdentity: me, leaseDurationSeconds: 40}}`,
	rbac.Roles:                              `{metadata: {name: r, namespace: ns}, rules: [{verbs: [get], apiGroups: [""], resources: [pods]}]}`,
	rbac.ClusterRoles:                       `{metadata: {name: "system:r"}, rules: [{verbs: [get], nonResourceURLs: [/healthz]}]}`,
	rbac.RoleBindings:                       `{metadata: {name: b, namespace: ns}, roleRef: {kind: Role, name: r}, subjects: [{kind: User, name: u}]}`,
	rbac.ClusterRoleBindings:                `{metadata: {name: b}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: ServiceAccount, name: a, namespace: ns}]}`,
	scheduling.PriorityClasses:              `{metadata: {name: high}, value: 1000}`,
	node.RuntimeClasses:                     `{metadata: {name: boxed}, handler: runc}`,
	storage.StorageClasses:                  `{metadata: {name: fast}, provisioner: example.com/disk}`,
	core.PodTemplates:                       `{metadata: {name: t, namespace: ns}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}`,
	core.ResourceQuotas:                     `{metadata: {name: q, namespace: ns}, spec: {hard: {pods: "10", cpu: "4"}}}`,
	core.LimitRanges:                        `{metadata: {name: l, namespace: ns}, spec: {limits: [{type: Container, max: {cpu: "2"}, min: {cpu: 100m}}]}}`,
	core.Bindings:                           `{metadata: {name: p, namespace: ns}, target: {kind: Node, name: n1}}`,
	review.SubjectAccessReviews:             `{spec: {user: u, resourceAttributes: {verb: get, resource: pods}}}`,
	review.SelfSubjectAccessReviews:         `{spec: {resourceAttributes: {verb: get, resource: pods}}}`,
	review.LocalSubjectAccessReviews:        `{metadata: {namespace: ns}, spec: {user: u, resourceAttributes: {verb: get, resource: pods, namespace: ns}}}`,
	apps.ReplicaSets:                        `{metadata: {name: rs, namespace: ns}, spec: {selector: {matchLabels: {a: b}}, ` + testTemplate + `}}`,
	apps.Deployments:                        `{metadata: {name: d, namespace: ns}, spec: {selector: {matchLabels: {a: b}}, ` + testTemplate + `}}`,
	apps.DaemonSets:                         `{metadata: {name: ds, namespace: ns}, spec: {selector: {matchLabels: {a: b}}, ` + testTemplate + `}}`,
	apps.StatefulSets:                       `{metadata: {name: s, namespace: ns}, spec: {serviceName: s, selector: {matchLabels: {a: b}}, ` + testTemplate + `}}`,
	apps.ControllerRevisions:                `{metadata: {name: r, namespace: ns}, revision: 1, data: {spec: {}}}`,
	batch.Jobs:                              `{metadata: {name: j, namespace: ns, uid: u}, spec: ` + testJob + `}`,
	batch.CronJobs:                          `{metadata: {name: c, namespace: ns}, spec: {schedule: "* * * * *", jobTemplate: {spec: ` + testJob + `}}}`,
	policy.PodDisruptionBudgets:             `{metadata: {name: b, namespace: ns}, spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}`,
	autoscaling.HorizontalPodAutoscalers:    `{metadata: {name: h, namespace: ns}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 5}}`,
	networking.Ingresses:                    `{metadata: {name: i, namespace: ns}, spec: {rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: ` + testBackend + `}]}}]}}`,
	networking.NetworkPolicies:              `{metadata: {name: np, namespace: ns}, spec: {podSelector: {}}}`,
	networking.IngressClasses:               `{metadata: {name: nginx}, spec: {controller: example.com/nginx}}`,
	certificates.CertificateSigningRequests: `{metadata: {name: r}, spec: {signerName: kubernetes.io/kube-apiserver-client, usages: [client auth], request: ` + testRequest + `}}`,
}

const (
	testTemplate = `template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "busybox:1"}]}}`
	testJob      = `{template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}`
	testBackend  = `{service: {name: s, port: {number: 80}}}`
)

// read returns the base of k with changes.
func read(t testing.TB, k *api.Kind, changes string) api.Object {
	t.Helper()
	base, ok := bases[k]
	if !ok {
		t.Fatalf("no base for %s", k.Kind)
	}
	var to, from map[string]any
	for s, into := range map[string]*map[string]any{base: &to, changes: &from} {
		if err := yaml.Unmarshal([]byte(s), into); err != nil {
			t.Fatalf("%s\n%v", s, err)
		}
	}
	b, err := json.Marshal(overlay(to, from))
	if err != nil {
		t.Fatal(err)
	}
	obj := k.New()
	if err := yaml.UnmarshalStrict(b, obj); err != nil {
		t.Fatalf("%s\n%v", b, err)
	}
	return obj
}

func overlay(to, from map[string]any) map[string]any {
	if to == nil {
		to = map[string]any{}
	}
	for k, v := range from {
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(to, k)
		case isMap:
			was, _ := to[k].(map[string]any)
			to[k] = overlay(was, sub)
		default:
			to[k] = v
		}
	}
	return to
}

// create does what the server does with a new object.
func create(k *api.Kind, obj api.Object) field.ErrorList {
	if k.Default != nil {
		k.Default(obj)
	}
	if k.PrepareCreate != nil {
		k.PrepareCreate(obj)
	}
	if k.Validate == nil {
		return nil
	}
	return k.Validate(obj)
}

// update does what the server does with an update of old.
func update(k *api.Kind, obj, old api.Object) field.ErrorList {
	if k.Default != nil {
		k.Default(obj)
	}
	if k.PrepareUpdate != nil {
		k.PrepareUpdate(obj, old)
	}
	if k.ValidateUpdate == nil {
		return nil
	}
	return k.ValidateUpdate(obj, old)
}

func lines(errs field.ErrorList) []string {
	var out []string
	for _, e := range errs {
		out = append(out, strings.TrimSpace(e.Error()))
	}
	return out
}

// matches compares errors with the wanted lines, in which "..." at the end matches any rest.
func matches(t *testing.T, errs field.ErrorList, want string) {
	t.Helper()
	got, wanted := lines(errs), strings.Split(want, "\n")
	if want == "" {
		wanted = nil
	}
	ok := len(got) == len(wanted)
	for i := 0; ok && i < len(got); i++ {
		if prefix, cut := strings.CutSuffix(wanted[i], "..."); cut {
			ok = strings.HasPrefix(got[i], prefix)
		} else {
			ok = got[i] == wanted[i]
		}
	}
	if !ok {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(wanted, "\n  "))
	}
}

// statusUpdate returns the errors of an update of the status from before to after.
func statusUpdate(t *testing.T, k *api.Kind, changes, before, after string) field.ErrorList {
	t.Helper()
	old, obj := read(t, k, changes), read(t, k, `{status: `+after+`}`)
	if errs := create(k, old); len(errs) > 0 {
		t.Fatalf("the old one: %v", lines(errs))
	}
	status := read(t, k, `{status: `+before+`}`)
	reflect.ValueOf(old).Elem().FieldByName("Status").Set(reflect.ValueOf(status).Elem().FieldByName("Status"))
	old.SetResourceVersion("1")
	obj.SetResourceVersion("1")
	k.PrepareStatus(obj, old)
	return k.ValidateStatus(obj, old)
}

// toStored and fromStored convert one object.
func toStored(t *testing.T, k *api.Kind, o api.Object) api.Object {
	t.Helper()
	out, err := k.ToStored(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func fromStored(t *testing.T, k *api.Kind, o api.Object) api.Object {
	t.Helper()
	out, err := k.FromStored(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}
