package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyv1 "k8s.io/client-go/applyconfigurations/core/v1"

	"wheelhouse/cluster/apiserver/apitest"
)

func TestPatches(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	pods := clientset(t, cfg).CoreV1().Pods("default")
	if _, err := pods.Create(ctx, testPod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind  types.PatchType
		patch string
	}{
		{types.JSONPatchType, `[{"op":"add","path":"/metadata/labels/a","value":"json"}]`},
		{types.MergePatchType, `{"metadata":{"labels":{"b":"merge"}}}`},
		{types.StrategicMergePatchType, `{"metadata":{"labels":{"c":"strategic"}},"spec":{"containers":[{"name":"c","image":"new"}]}}`},
	} {
		if _, err := pods.Patch(ctx, "p", c.kind, []byte(c.patch), metav1.PatchOptions{}); err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
	status := `{"metadata":{"labels":{"d":"metadata"}},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]},"spec":{"nodeName":"x"}}`
	if _, err := pods.Patch(ctx, "p", types.StrategicMergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	p, err := pods.Get(ctx, "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Labels["a"] != "json" || p.Labels["b"] != "merge" || p.Labels["c"] != "strategic" || len(p.Spec.Containers) != 1 || p.Spec.Containers[0].Image != "new" {
		t.Errorf("patched: %v %v", p.Labels, p.Spec.Containers)
	}
	if p.Status.Phase != corev1.PodRunning || len(p.Status.Conditions) != 1 || p.Spec.NodeName != "" {
		t.Errorf("status: %+v, node %q", p.Status, p.Spec.NodeName)
	}
	stale := fmt.Sprintf(`{"metadata":{"resourceVersion":%q,"labels":{"a":"x"}}}`, "1")
	if _, err := pods.Patch(ctx, "p", types.MergePatchType, []byte(stale), metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a patch of an old version: %v", err)
	}
	if _, err := pods.Patch(ctx, "nope", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a patch of nothing: %v", err)
	}
}

func TestPatchesOfManyDoNotConflict(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	cm := clientset(t, cfg).CoreV1().ConfigMaps("default")
	if _, err := cm.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const writers = 20
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			patch := fmt.Sprintf(`{"data":{"k%d":"v"}}`, i)
			if _, err := cm.Patch(ctx, "m", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m, err := cm.Get(ctx, "m", metav1.GetOptions{}); err != nil || len(m.Data) != writers {
		t.Errorf("%v %v", m.Data, err)
	}
}

func TestServerSideApply(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	cm := clientset(t, cfg).CoreV1().ConfigMaps("default")
	want := func(v string) *applyv1.ConfigMapApplyConfiguration {
		return applyv1.ConfigMap("m", "default").WithData(map[string]string{"k": v})
	}
	r := newRaw(t, cfg)
	resp, body := r.do("PATCH", maps+"/m?fieldManager=one", "application/apply-patch+yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: a}\n")
	if resp.StatusCode != 201 {
		t.Fatalf("apply of a new object: %d %s", resp.StatusCode, body)
	}
	m, err := cm.Apply(ctx, want("a"), metav1.ApplyOptions{FieldManager: "two"})
	if err != nil || len(m.ManagedFields) != 2 {
		t.Fatalf("two agree: %v %v", m, err)
	}
	_, err = cm.Apply(ctx, want("b"), metav1.ApplyOptions{FieldManager: "two"})
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "one"`) {
		t.Fatalf("two differ: %v", err)
	}
	if status = err.(apierrors.APIStatus); len(status.Status().Details.Causes) != 1 || status.Status().Details.Causes[0].Field != ".data.k" {
		t.Errorf("causes: %+v", status.Status().Details)
	}
	if m, err = cm.Apply(ctx, want("b"), metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil || m.Data["k"] != "b" {
		t.Fatalf("force: %v", err)
	}
	again, err := cm.Apply(ctx, want("b"), metav1.ApplyOptions{FieldManager: "two", Force: true})
	if err != nil || again.ResourceVersion != m.ResourceVersion {
		t.Errorf("the same again is a write: %v, %s after %s", err, again.ResourceVersion, m.ResourceVersion)
	}
	again.Data["other"] = "x"
	updated, err := cm.Update(ctx, again, metav1.UpdateOptions{FieldManager: "three"})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range updated.ManagedFields {
		found = found || (f.Manager == "three" && f.Operation == metav1.ManagedFieldsOperationUpdate)
	}
	if !found {
		t.Errorf("an update after apply is not tracked: %v", updated.ManagedFields)
	}
	if _, body := r.do("PATCH", maps+"/m?fieldManager=x", "application/apply-patch+yaml", "apiVersion: v1\nkind: ConfigMap\nnope: 1\n"); !strings.Contains(body, ".nope: field not declared in schema") {
		t.Errorf("an unknown field: %s", body)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	pods := clientset(t, cfg).CoreV1().Pods("default")
	all := []string{metav1.DryRunAll}
	made, err := pods.Create(ctx, testPod("p"), metav1.CreateOptions{DryRun: all})
	if err != nil || made.UID == "" || made.ResourceVersion != "" || made.Spec.RestartPolicy == "" {
		t.Fatalf("create: %v %v", made, err)
	}
	if _, err := pods.Get(ctx, "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("it is there: %v", err)
	}
	if _, err := pods.Create(ctx, testPod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Create(ctx, testPod("p"), metav1.CreateOptions{DryRun: all}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("create again: %v", err)
	}
	p, err := pods.Patch(ctx, "p", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{DryRun: all})
	if err != nil || p.Labels["a"] != "b" {
		t.Errorf("patch: %v", err)
	}
	if err := pods.Delete(ctx, "p", metav1.DeleteOptions{DryRun: all}); err != nil {
		t.Error(err)
	}
	if p, err := pods.Get(ctx, "p", metav1.GetOptions{}); err != nil || p.Labels["a"] != "" {
		t.Errorf("after the dry runs: %v %v", p, err)
	}
}

func TestGenerateName(t *testing.T) {
	cfg := apitest.Start(t)
	pod := testPod("")
	pod.GenerateName = strings.Repeat("x", 70)
	made, err := clientset(t, cfg).CoreV1().Pods("default").Create(within(t), pod, metav1.CreateOptions{})
	if err != nil || len(made.Name) != 63 || !strings.HasPrefix(made.Name, "xxx") {
		t.Errorf("%v %v", made, err)
	}
}

func bindTo(ctx context.Context, t *testing.T, pods interface {
	Bind(context.Context, *corev1.Binding, metav1.CreateOptions) error
}, name, node string,
) error {
	t.Helper()
	return pods.Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"by": "test"}},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
}

func TestBindingAndGracefulDeletion(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	pods := clientset(t, cfg).CoreV1().Pods("default")
	if _, err := pods.Create(ctx, testPod("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := bindTo(ctx, t, pods, "p", "n1"); err != nil {
		t.Fatal(err)
	}
	if err := bindTo(ctx, t, pods, "p", "n2"); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `pod p is already assigned to node "n1"`) {
		t.Errorf("bound again: %v", err)
	}
	p, err := pods.Get(ctx, "p", metav1.GetOptions{})
	if err != nil || p.Spec.NodeName != "n1" || p.Annotations["by"] != "test" || p.Status.Conditions[0].Type != corev1.PodScheduled || p.Status.Conditions[0].ObservedGeneration != p.Generation {
		t.Fatalf("bound: %+v %v", p, err)
	}
	if err := pods.Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	first, err := pods.Get(ctx, "p", metav1.GetOptions{})
	if err != nil || first.DeletionTimestamp == nil || *first.DeletionGracePeriodSeconds != 30 {
		t.Fatalf("deleting: %v %v", first, err)
	}
	longer, shorter, zero := int64(60), int64(5), int64(0)
	for _, c := range []struct{ ask, have int64 }{{longer, 30}, {shorter, 5}} {
		if err := pods.Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: &c.ask}); err != nil {
			t.Fatal(err)
		}
		if p, err := pods.Get(ctx, "p", metav1.GetOptions{}); err != nil || *p.DeletionGracePeriodSeconds != c.have {
			t.Errorf("asked for %d: %v %v", c.ask, *p.DeletionGracePeriodSeconds, err)
		}
	}
	if err := pods.Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(ctx, "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after grace 0: %v", err)
	}
}

func TestFinalizersKeepAnObject(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	cm := clientset(t, cfg).CoreV1().ConfigMaps("default")
	if _, err := cm.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Finalizers: []string{"a.io/b"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	foreground := metav1.DeletePropagationForeground
	if err := cm.Delete(ctx, "m", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	m, err := cm.Get(ctx, "m", metav1.GetOptions{})
	if err != nil || m.DeletionTimestamp == nil || len(m.Finalizers) != 2 || m.Finalizers[1] != metav1.FinalizerDeleteDependents {
		t.Fatalf("%v %v", m, err)
	}
	m.Finalizers = nil
	if _, err := cm.Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := cm.Get(ctx, "m", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("without finalizers: %v", err)
	}
}

func TestNamespaceGoesWithItsFinalizer(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	all := clientset(t, cfg).CoreV1().Namespaces()
	if _, err := all.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := all.Delete(ctx, "n", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	n, err := all.Get(ctx, "n", metav1.GetOptions{})
	if err != nil || n.Status.Phase != corev1.NamespaceTerminating || len(n.Spec.Finalizers) != 1 {
		t.Fatalf("%v %v", n, err)
	}
	n.Spec.Finalizers = nil
	if _, err := all.Finalize(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Get(ctx, "n", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after finalize: %v", err)
	}
}

func TestScaleEvictAndDeleteCollection(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	core := clientset(t, cfg).CoreV1()
	labels := map[string]string{"app": "t"}
	one := int32(1)
	if _, err := core.ReplicationControllers("default").Create(ctx, &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "rc"},
		Spec: corev1.ReplicationControllerSpec{Replicas: &one, Selector: labels, Template: &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: testPod("").Spec,
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	scale, err := core.ReplicationControllers("default").GetScale(ctx, "rc", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 1 || scale.Status.Selector != "app=t" {
		t.Fatalf("%v %v", scale, err)
	}
	scale.Spec.Replicas = 4
	if scale, err = core.ReplicationControllers("default").UpdateScale(ctx, "rc", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 4 {
		t.Fatalf("%v %v", scale, err)
	}
	r := newRaw(t, cfg)
	_, body := r.do("PATCH", "/api/v1/namespaces/default/replicationcontrollers/rc/scale", "application/merge-patch+json", `{"spec":{"replicas":2}}`)
	var patched struct{ Spec struct{ Replicas int } }
	if err := json.Unmarshal([]byte(body), &patched); err != nil || patched.Spec.Replicas != 2 {
		t.Errorf("patched scale: %s", body)
	}
	for i := range 5 {
		if _, err := core.Pods("default").Create(ctx, testPod(fmt.Sprintf("p%d", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := core.Pods("default").EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "p0", Namespace: "default"}}); err != nil {
		t.Error(err)
	}
	if err := core.Pods("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "app=t"}); err != nil {
		t.Error(err)
	}
	if l, err := core.Pods("default").List(ctx, metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("left: %v %v", l, err)
	}
}

// A PUT of what does not exist creates it, for the kinds that upstream lets.
func TestPutCreates(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for _, c := range []struct {
		path, body string
		code       int
	}{
		{"/api/v1/namespaces/default/services/a", `{"metadata":{"name":"a"},"spec":{"ports":[{"port":80}]}}`, 201},
		{"/api/v1/namespaces/default/endpoints/a", `{"metadata":{"name":"a"}}`, 201},
		{"/api/v1/namespaces/default/limitranges/a", `{"metadata":{"name":"a"}}`, 201},
		{"/apis/coordination.k8s.io/v1/namespaces/default/leases/a", `{"metadata":{"name":"a"}}`, 201},
		{"/apis/node.k8s.io/v1/runtimeclasses/a", `{"metadata":{"name":"a"},"handler":"runc"}`, 201},
		{"/apis/rbac.authorization.k8s.io/v1/clusterroles/a", `{"metadata":{"name":"a"}}`, 201},
		{"/api/v1/namespaces/default/configmaps/a", `{"metadata":{"name":"a"}}`, 404},
		{"/api/v1/namespaces/default/endpoints/b", `{"metadata":{"name":"b","uid":"x"}}`, 409},
	} {
		if resp, body := r.do("PUT", c.path+"?dryRun=All", "application/json", c.body); resp.StatusCode != c.code {
			t.Errorf("dry run, %s: %d %s", c.path, resp.StatusCode, body)
		}
		if resp, body := r.do("PUT", c.path, "application/json", c.body); resp.StatusCode != c.code {
			t.Errorf("%s: %d %s", c.path, resp.StatusCode, body)
		}
		if resp, _ := r.do("GET", c.path, "", ""); (resp.StatusCode == 200) != (c.code == 201) {
			t.Errorf("%s after %d: %d", c.path, c.code, resp.StatusCode)
		}
	}
}

// Leases, runtime classes and disruption budgets are not updated blindly, status included.
func TestConditionalUpdates(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
	for _, c := range []struct{ collection, object, update, resource string }{
		{"/apis/coordination.k8s.io/v1/namespaces/default/leases", `{"metadata":{"name":"a"}}`, "/a", "leases.coordination.k8s.io"},
		{"/apis/node.k8s.io/v1/runtimeclasses", `{"metadata":{"name":"a"},"handler":"runc"}`, "/a", "runtimeclasses.node.k8s.io"},
		{budgets, `{"metadata":{"name":"a"},"spec":{"minAvailable":1}}`, "/a", "poddisruptionbudgets.policy"},
		{budgets, `{"metadata":{"name":"b"},"spec":{"minAvailable":1}}`, "/b/status", "poddisruptionbudgets.policy"},
	} {
		if resp, body := r.do("POST", c.collection, "application/json", c.object); resp.StatusCode != 201 {
			t.Fatalf("%s: %d %s", c.collection, resp.StatusCode, body)
		}
		resp, body := r.do("PUT", c.collection+c.update, "application/json", c.object)
		if resp.StatusCode != 422 || !strings.Contains(body, c.resource+` \"`) || !strings.Contains(body, "metadata.resourceVersion: Invalid value: 0: must be specified for an update") {
			t.Errorf("%s: %d %s", c.collection+c.update, resp.StatusCode, body)
		}
	}
}

// An update cannot begin a deletion, and errors about metadata are reported by the rules of all kinds and by the kind's.
func TestUpdatesOfMetadata(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	if resp, body := r.do("POST", maps, "application/json", `{"metadata":{"name":"a"}}`); resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, c := range []struct {
		metadata, field string
		causes          int
	}{
		{`"deletionTimestamp":"2024-05-05T00:00:00Z"`, "metadata.deletionTimestamp", 2},
		{`"deletionGracePeriodSeconds":5`, "metadata.deletionGracePeriodSeconds", 2},
		{`"labels":{"a b":"c"}`, "metadata.labels", 4},
		{`"finalizers":["a b/c"]`, "metadata.finalizers", 2},
	} {
		resp, body := r.do("PUT", maps+"/a", "application/json", `{"metadata":{"name":"a",`+c.metadata+`}}`)
		var status metav1.Status
		if err := json.Unmarshal([]byte(body), &status); err != nil || resp.StatusCode != 422 {
			t.Fatalf("%s: %d %s", c.metadata, resp.StatusCode, body)
		}
		n := 0
		for _, cause := range status.Details.Causes {
			if cause.Field == c.field {
				n++
			}
		}
		if n != c.causes {
			t.Errorf("%s: %d causes: %s", c.metadata, n, body)
		}
	}
}
