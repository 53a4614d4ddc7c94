package builtin

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
)

// exercise calls all functions of a kind with an object and its successor.
func exercise(k *api.Kind, obj, next api.Object) {
	create(k, obj)
	update(k, next, obj)
	if k.HasStatus {
		k.PrepareStatus(next, obj)
		k.ValidateStatus(next, obj)
	}
	if k.Warn != nil {
		k.Warn(obj)
	}
	if k.Row != nil {
		k.Row(obj)
	}
	if k.Fields != nil {
		k.Fields(obj)
	}
	if k.Scale != nil {
		k.Scale.Get(obj)
		k.Scale.Set(obj, 1)
	}
}

// exerciseVersion is exercise through another version of a kind.
func exerciseVersion(t *testing.T, k *api.Kind, obj, next api.Object) {
	t.Helper()
	var stored [2]api.Object
	for i, o := range []api.Object{obj, next} {
		if k.Default != nil {
			k.Default(o)
		}
		stored[i] = toStored(t, k, o)
		fromStored(t, k, stored[i])
	}
	exercise(k.Stored, stored[0], stored[1])
	if k.Row != nil {
		k.Row(obj)
	}
	if k.Fields != nil {
		k.Fields(stored[0])
	}
}

// TestNothingPanics calls the functions of every kind with objects of random fields.
func TestNothingPanics(t *testing.T) {
	f := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), api.Codecs).NumElements(0, 3)
	for _, k := range Table().Served() {
		obj := k.New()
		for round := range 20 {
			next := k.New()
			f.NilChance(0.15 + 0.15*float64(round%3)).Fill(next)
			if k.Stored != nil {
				exerciseVersion(t, k, obj, next)
			} else {
				exercise(k, obj, next)
			}
			obj = next
		}
	}
}

// FuzzPod decodes pods from the fuzzer's JSON.
func FuzzPod(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":1}]}]}}`,
		`{"spec":{"volumes":[{"name":"v","projected":{"sources":[{}]}}],"affinity":{"nodeAffinity":{}}}}`,
		`{"status":{"initContainerStatuses":[{"state":{"terminated":{}}}],"conditions":[{"type":"Initialized"}]}}`,
	} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var obj, next corev1.Pod
		if json.Unmarshal(a, &obj) != nil || json.Unmarshal(b, &next) != nil {
			return
		}
		exercise(core.Pods, &obj, &next)
	})
}

// FuzzWorkloads decodes workloads and their retired versions from the fuzzer's JSON.
func FuzzWorkloads(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
		`{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"1%","maxUnavailable":0}},"rollbackTo":{"revision":1}}}`,
		`{"spec":{"schedule":"TZ=UTC * * * * *","timeZone":"Europe/Berlin","jobTemplate":{"spec":{"completionMode":"Indexed","successPolicy":{"rules":[{"succeededIndexes":"1-2"}]}}}}}`,
		`{"spec":{"completionMode":"Indexed","completions":5,"podFailurePolicy":{"rules":[{"onExitCodes":{"values":[1]}}]}},"status":{"completedIndexes":"0-2,4","failedIndexes":"3"}}`,
		`{"spec":{"metrics":[{"type":"Resource","resource":{"target":{}}}],"behavior":{"scaleUp":{}}},"metadata":{"annotations":{"autoscaling.alpha.kubernetes.io/metrics":"[{}]"}}}`,
		`{"spec":{"backend":{"serviceName":"s","servicePort":80},"rules":[{"http":{"paths":[{}]}}],"minAvailable":"50%"}}`,
	} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, k := range Table().Served() {
			stored := k
			if k.Stored != nil {
				stored = k.Stored
			}
			if !slices.Contains([]string{"apps", "batch", "autoscaling", "policy", "networking.k8s.io"}, stored.Group) {
				continue
			}
			obj, next := k.New(), k.New()
			if json.Unmarshal(a, obj) != nil || json.Unmarshal(b, next) != nil {
				continue
			}
			if k.Stored != nil {
				exerciseVersion(t, k, obj, next)
			} else {
				exercise(k, obj, next)
			}
		}
	})
}

func benchPod(b *testing.B) *corev1.Pod {
	b.Helper()
	return read(b, core.Pods, `{metadata: {labels: {app: inspector, track: stable}}, spec: {containers: [{name: c, image: "busybox:1",
	  ports: [{containerPort: 80, name: http}], env: [{name: A, value: b}, {name: N, valueFrom: {fieldRef: {fieldPath: metadata.name}}}],
	  resources: {limits: {cpu: 500m, memory: 128Mi}}, volumeMounts: [{name: data, mountPath: /data}, {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}],
	  readinessProbe: {httpGet: {port: 80}}, livenessProbe: {tcpSocket: {port: 80}}}],
	  volumes: [{name: data, emptyDir: {}}, {name: token, projected: {sources: [{serviceAccountToken: {path: token}}, {configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}}]}}],
	  tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}]}}`).(*corev1.Pod)
}

func BenchmarkPodDefault(b *testing.B) {
	pod := benchPod(b)
	b.ReportAllocs()
	for b.Loop() {
		core.Pods.Default(pod.DeepCopy())
	}
}

func BenchmarkPodValidate(b *testing.B) {
	pod := benchPod(b)
	core.Pods.Default(pod)
	b.ReportAllocs()
	var errs field.ErrorList
	for b.Loop() {
		errs = core.Pods.Validate(pod)
	}
	if len(errs) > 0 {
		b.Fatal(errs)
	}
}

func BenchmarkPodRow(b *testing.B) {
	pod := benchPod(b)
	b.ReportAllocs()
	for b.Loop() {
		core.Pods.Row(pod)
	}
}
