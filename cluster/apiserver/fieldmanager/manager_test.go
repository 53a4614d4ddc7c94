package fieldmanager

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	runtimeserializer "k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/randfill"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
)

// asItIs converts nothing: the tests write in one version.
type asItIs struct{ runtime.ObjectConvertor }

func (asItIs) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

type noDefaults struct{}

func (noDefaults) Default(runtime.Object) {}

var types = applyconfigurations.NewTypeConverter(api.Scheme)

func newManager(t testing.TB, k *api.Kind, subresource string) *Manager {
	t.Helper()
	return New(Config{
		Kind: k.GroupVersionKind, Subresource: subresource, New: k.New, HasStatus: k.HasStatus,
		Versions: []schema.GroupVersion{k.GroupVersion()}, Types: func() (managedfields.TypeConverter, error) { return types, nil }, Converter: asItIs{}, Defaulter: noDefaults{}, Maker: api.Scheme,
	})
}

// kindsOfAnyShape are left to the library: they have fields that may be anything.
var kindsOfAnyShape = map[string]bool{"ControllerRevision": true}

// kindsWithoutSchema are of versions that client-go has dropped: there is nothing to compare with.
var kindsWithoutSchema = map[schema.GroupVersion]bool{{Group: "autoscaling", Version: "v2beta1"}: true}

// TestAsLibrary makes random objects and changes of them, and compares with what the library
// says of the same writes.
func TestAsLibrary(t *testing.T) {
	fill := randomObjects()
	for _, k := range builtin.Table().Served() {
		if k.Virtual || kindsWithoutSchema[k.GroupVersion()] {
			continue
		}
		subresources := []string{""}
		if k.HasStatus {
			subresources = append(subresources, "status")
		}
		for _, sub := range k.Storage().Connect {
			if sub.Prepare != nil {
				subresources = append(subresources, sub.Name)
			}
		}
		managers := map[string]*Manager{}
		for _, s := range subresources {
			managers[s] = newManager(t, k, s)
			if managers[s].shape == nil {
				managers = nil
				break
			}
		}
		if managers == nil {
			continue
		}
		t.Run(k.GroupVersion().String()+" "+k.Kind, func(t *testing.T) {
			r := rand.New(rand.NewSource(int64(len(k.Kind))))
			for range 2 {
				follow(t, k, managers, subresources, r, fill)
			}
		})
	}
}

// follow lets several managers write an object, one after the other.
func follow(t *testing.T, k *api.Kind, managers map[string]*Manager, subresources []string, r *rand.Rand, fill *randfill.Filler) {
	t.Helper()
	object := func() api.Object {
		obj := k.New()
		fill.NilChance(0.2 + r.Float64()/2).Fill(obj)
		obj.SetManagedFields(nil)
		obj.SetUID("u")
		return decoded(t, k, obj)
	}
	live := object()
	byUs, byLibrary := live, clone(live)
	managers[""].Create(byUs, "creator")
	managers[""].byLibrary(k.New(), byLibrary, "creator")
	compare(t, "create", byUs, byLibrary)
	for step := range 14 {
		live = backdated(byUs, r)
		next := object()
		if r.Intn(3) > 0 {
			mix(reflect.ValueOf(live).Elem(), reflect.ValueOf(next).Elem(), r)
		}
		next.SetManagedFields(nil)
		if r.Intn(2) == 0 {
			next.SetManagedFields(clone(live).GetManagedFields())
		}
		m := managers[subresources[r.Intn(len(subresources))]]
		by := fmt.Sprintf("m%d", r.Intn(13))
		byUs, byLibrary = next, clone(next)
		m.Update(clone(live), byUs, by)
		m.byLibrary(clone(live), byLibrary, by)
		compare(t, fmt.Sprintf("step %d by %s/%s", step, by, m.Subresource), byUs, byLibrary)
	}
}

// decoded returns an object as it is in JSON. Empty lists that are omitted there are nil then: the
// library distinguishes them within atomic lists, where nobody who reads the object could.
func decoded(t *testing.T, k *api.Kind, obj api.Object) api.Object {
	t.Helper()
	text, err := json.Marshal(obj)
	out := k.New()
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// backdated returns an object whose entries are older, some by an hour, so that the oldest are
// others than the newest.
func backdated(obj api.Object, r *rand.Rand) api.Object {
	out := clone(obj)
	entries := out.GetManagedFields()
	for i := range entries {
		entries[i].Time = &metav1.Time{Time: entries[i].Time.Add(-time.Duration(1+r.Intn(3)) * time.Hour)}
	}
	slices.SortFunc(entries, func(a, b metav1.ManagedFieldsEntry) int { return inOrder(&a, &b) })
	out.SetManagedFields(entries)
	return out
}

// mix takes some of the fields of another object, so that a write changes only a part.
func mix(from, to reflect.Value, r *rand.Rand) {
	for i := range to.NumField() {
		switch {
		case r.Intn(3) > 0 && to.Field(i).CanSet():
			to.Field(i).Set(from.Field(i))
		case to.Field(i).Kind() == reflect.Struct && to.Type().Field(i).IsExported() && to.Field(i).Type() != reflect.TypeFor[resource.Quantity]():
			mix(from.Field(i), to.Field(i), r)
		}
	}
}

func clone(obj api.Object) api.Object { return obj.DeepCopyObject().(api.Object) }

func compare(t *testing.T, what string, byUs, byLibrary api.Object) {
	t.Helper()
	ours, theirs := untimed(t, byUs), untimed(t, byLibrary)
	if d := diff.Diff(ours, theirs); d != "" {
		t.Fatalf("%s: the library has other managedFields:\n%s", what, d)
	}
}

// untimed returns entries as text. All that the test has written just now has the same time.
func untimed(t *testing.T, obj api.Object) []string {
	t.Helper()
	var out []string
	for _, e := range obj.GetManagedFields() {
		at := "now"
		if time.Since(e.Time.Time) > 30*time.Minute {
			at = e.Time.String()
		}
		out = append(out, fmt.Sprintln(e.Manager, e.Operation, e.APIVersion, e.Subresource, e.FieldsType, at, string(e.FieldsV1.Raw)))
	}
	return out
}

func randomObjects() *randfill.Filler {
	own := func(runtimeserializer.CodecFactory) []any {
		return []any{
			func(q *resource.Quantity, c randfill.Continue) {
				*q = *resource.NewQuantity(c.Int63n(1000), resource.DecimalSI)
			},
			func(s *string, c randfill.Continue) { *s = string("abcdefgh\"<é"[c.Intn(8)]) },
			func(b *[]byte, c randfill.Continue) { *b = []byte{byte(c.Intn(3))} },
		}
	}
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, own), rand.NewSource(1), api.Codecs).NumElements(0, 3)
}

func TestUnusualKeys(t *testing.T) {
	k := builtin.Table().Lookup("", "v1", "pods")
	m := newManager(t, k, "")
	for _, name := range []string{"a b", `quo"te`, `back\slash`, "<&>", "é\u2028", "\x01", "f:x", "", "."} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{name: "v"}, Finalizers: []string{name}}}
		p.Spec.Containers = []corev1.Container{{Name: name, Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 80, Protocol: "UDP"}}}}
		other := p.DeepCopy()
		m.Create(p, "m")
		m.byLibrary(k.New(), other, "m")
		compare(t, fmt.Sprintf("%q", name), p, other)
	}
}

func BenchmarkCreate(b *testing.B) {
	k := builtin.Table().Lookup("", "v1", "pods")
	m := newManager(b, k, "")
	p := benchPod()
	k.Default(p)
	b.ReportAllocs()
	for b.Loop() {
		p.ManagedFields = nil
		m.Create(p, "m")
	}
}

func BenchmarkCreateByLibrary(b *testing.B) {
	k := builtin.Table().Lookup("", "v1", "pods")
	m := newManager(b, k, "")
	p := benchPod()
	k.Default(p)
	b.ReportAllocs()
	for b.Loop() {
		p.ManagedFields = nil
		m.byLibrary(k.New(), p, "m")
	}
}

func BenchmarkStatus(b *testing.B) {
	k := builtin.Table().Lookup("", "v1", "pods")
	create, status := newManager(b, k, ""), newManager(b, k, "status")
	live := benchPod()
	k.Default(live)
	create.Create(live, "m")
	running := live.DeepCopy()
	running.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}, HostIP: "10.0.0.2",
		Conditions:        []corev1.PodCondition{{Type: "Ready", Status: "True"}, {Type: "Initialized", Status: "True"}, {Type: "ContainersReady", Status: "True"}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Ready: true, Image: "i", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
	status.Update(live, running, "kubelet")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next := *running
		next.Status.PodIP = fmt.Sprint(i)
		status.Update(running, &next, "kubelet")
	}
}

func benchPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "d", GenerateName: "p-", Labels: map[string]string{"app": "a", "tier": "b"}, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "ReplicaSet", Name: "r", UID: "0e6f8b0e-1b0e-4b0e-8b0e-0e6f8b0e1b0e", Controller: new(bool),
		}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "i:1", Ports: []corev1.ContainerPort{{ContainerPort: 80}},
			Env:       []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "N", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("128Mi")}},
		}}},
	}
}
