package apiserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/openapi"

	"wheelhouse/cluster/api"
)

// A Deployment as one wrote it in 2016: no selector, no labels of its own.
const deployment2016 = `{"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "nginx"}, "spec": {"replicas": 2,
  "template": {"metadata": {"labels": {"run": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx:1.7.9"}]}}}}`

const (
	oldDeployments   = "/apis/extensions/v1beta1/namespaces/default/deployments"
	todayDeployments = "/apis/apps/v1/namespaces/default/deployments"
	retiredWarning   = `299 - "extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment"`
)

// into decodes an answer, or says what was wrong with it.
func into[T any](t *testing.T, resp *http.Response, body string, want int) *T {
	t.Helper()
	v := new(T)
	if resp.StatusCode != want {
		t.Fatalf("got %d, want %d: %s", resp.StatusCode, want, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return v
}

func TestDeploymentOf2016(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	resp, body := r.do("POST", oldDeployments, asJSON, deployment2016)
	d := into[extensionsv1beta1.Deployment](t, resp, body, 201)
	if got := resp.Header.Get("Warning"); got != retiredWarning {
		t.Errorf("warning is %s", got)
	}
	if d.APIVersion != "extensions/v1beta1" || d.Spec.Selector.MatchLabels["run"] != "nginx" || d.Labels["run"] != "nginx" ||
		d.Spec.Strategy.RollingUpdate.MaxSurge.String() != "1" || *d.Spec.RevisionHistoryLimit != 1<<31-1 || *d.Spec.ProgressDeadlineSeconds != 1<<31-1 {
		t.Errorf("what was filled in: %s", body)
	}

	resp, body = r.do("GET", todayDeployments+"/nginx", "", "")
	today := into[appsv1.Deployment](t, resp, body, 200)
	if today.UID != d.UID || today.APIVersion != "apps/v1" || resp.Header.Get("Warning") != "" || *today.Spec.Replicas != 2 {
		t.Errorf("today: %q %s", resp.Header.Get("Warning"), body)
	}

	// each change is seen from both sides
	resp, body = r.do("PATCH", oldDeployments+"/nginx", string(types.StrategicMergePatchType), `{"spec":{"template":{"spec":{"containers":[{"name":"nginx","image":"nginx:1.9.1"}]}}}}`)
	if d = into[extensionsv1beta1.Deployment](t, resp, body, 200); d.Generation != 2 {
		t.Errorf("generation is %d after a new template", d.Generation)
	}
	resp, body = r.do("PATCH", todayDeployments+"/nginx", string(types.MergePatchType), `{"spec":{"paused":true}}`)
	into[appsv1.Deployment](t, resp, body, 200)
	resp, body = r.do("GET", oldDeployments+"/nginx", "", "")
	d = into[extensionsv1beta1.Deployment](t, resp, body, 200)
	if !d.Spec.Paused || d.Spec.Template.Spec.Containers[0].Image != "nginx:1.9.1" {
		t.Errorf("from the other side: %s", body)
	}
	d.Spec.Paused = false
	put, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if resp, body = r.do("PUT", oldDeployments+"/nginx", asJSON, string(put)); resp.StatusCode != 200 {
		t.Errorf("put: %s", body)
	}
	if resp, body = r.do("PUT", oldDeployments+"/nginx", asJSON, string(put)); resp.StatusCode != 409 {
		t.Errorf("put of an old version: %d %s", resp.StatusCode, body)
	}

	resp, body = r.do("GET", oldDeployments, "", "", "Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
	table := into[metav1.Table](t, resp, body, 200)
	if len(table.Rows) != 1 || fmt.Sprint(table.Rows[0].Cells[:2]) != "[nginx 0/2]" {
		t.Errorf("table: %s", body)
	}
	const asTable = "application/json;as=Table;g=meta.k8s.io;v=v1"
	resp, body = r.do("PATCH", oldDeployments+"/nginx?dryRun=All", string(types.MergePatchType), `{"spec":{"replicas":8}}`, "Accept", asTable)
	if table = into[metav1.Table](t, resp, body, 200); fmt.Sprint(table.Rows[0].Cells[:2]) != "[nginx 0/8]" {
		t.Errorf("table of a dry run: %s", body)
	}
	if resp, body = r.do("DELETE", oldDeployments+"/nginx", "", ""); resp.StatusCode != 200 || resp.Header.Get("Warning") != retiredWarning {
		t.Errorf("delete: %d %s", resp.StatusCode, body)
	}
	if resp, _ = r.do("GET", todayDeployments+"/nginx", "", ""); resp.StatusCode != 404 {
		t.Errorf("after the delete: %d", resp.StatusCode)
	}
}

// The ReplicaSet of the field notes.
func TestReplicaSetOf2016(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	resp, body := r.do("POST", "/apis/extensions/v1beta1/namespaces/default/replicasets", asYAML, `
apiVersion: extensions/v1beta1
kind: ReplicaSet
metadata:
  name: kuard
spec:
  replicas: 1
  selector:
    matchExpressions:
    - {key: app, operator: In, values: [kuard]}
    - {key: tier, operator: NotIn, values: [production]}
  template:
    metadata:
      labels: {app: kuard, version: "2"}
    spec:
      containers:
      - {name: kuard, image: "gcr.io/kuar-demo/kuard-amd64:2"}
`, "Accept", asJSON)
	rs := into[extensionsv1beta1.ReplicaSet](t, resp, body, 201)
	if len(rs.Spec.Selector.MatchExpressions) != 2 || len(rs.Spec.Selector.MatchLabels) != 0 || rs.Labels["app"] != "kuard" {
		t.Errorf("made: %s", body)
	}
	resp, body = r.do("GET", "/apis/extensions/v1beta1/namespaces/default/replicasets/kuard/scale", "", "")
	scale := into[extensionsv1beta1.Scale](t, resp, body, 200)
	if scale.APIVersion != "extensions/v1beta1" || scale.Status.TargetSelector != "app in (kuard),tier notin (production)" || scale.Status.Selector != nil {
		t.Errorf("scale: %s", body)
	}
}

func TestFormerScale(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	if resp, body := r.do("POST", oldDeployments, asJSON, deployment2016); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	for path, version := range map[string]string{
		oldDeployments: "extensions/v1beta1", "/apis/apps/v1beta1/namespaces/default/deployments": "apps/v1beta1",
		"/apis/apps/v1beta2/namespaces/default/deployments": "apps/v1beta2",
	} {
		resp, body := r.do("GET", path+"/nginx/scale", "", "")
		scale := into[extensionsv1beta1.Scale](t, resp, body, 200)
		if scale.APIVersion != version || scale.Status.Selector["run"] != "nginx" || scale.Status.TargetSelector != "run=nginx" {
			t.Errorf("%s: %s", version, body)
		}
		scale.Spec.Replicas = 5
		put, err := json.Marshal(scale)
		if err != nil {
			t.Fatal(err)
		}
		resp, body = r.do("PUT", path+"/nginx/scale", asJSON, string(put))
		if scale = into[extensionsv1beta1.Scale](t, resp, body, 200); scale.Spec.Replicas != 5 {
			t.Errorf("%s: put gives %s", version, body)
		}
		resp, body = r.do("PATCH", path+"/nginx/scale", string(types.MergePatchType), `{"spec":{"replicas":7}}`)
		if scale = into[extensionsv1beta1.Scale](t, resp, body, 200); scale.Spec.Replicas != 7 {
			t.Errorf("%s: patch gives %s", version, body)
		}
	}
	for _, path := range []string{todayDeployments, oldDeployments} {
		resp, body := r.do("GET", path+"/nginx/scale", "", "", "Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
		if table := into[metav1.Table](t, resp, body, 200); fmt.Sprint(table.Rows[0].Cells[:3]) != "[nginx 7 0]" {
			t.Errorf("table of %s: %s", path, body)
		}
	}
	resp, body := r.do("GET", todayDeployments+"/nginx/scale", "", "")
	if s := into[autoscalingv1.Scale](t, resp, body, 200); s.APIVersion != "autoscaling/v1" || s.Spec.Replicas != 7 || s.Status.Selector != "run=nginx" {
		t.Errorf("today: %s", body)
	}
}

func TestRollbackInTheServer(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	if resp, body := r.do("POST", oldDeployments, asJSON, deployment2016); resp.StatusCode != 201 {
		t.Fatal(body)
	}
	const ask = `{"kind":"DeploymentRollback","apiVersion":"extensions/v1beta1","name":%q,"updatedAnnotations":{"why":"broken"},"rollbackTo":{"revision":%d}}`
	resp, body := r.do("POST", oldDeployments+"/nginx/rollback", asJSON, fmt.Sprintf(ask, "nginx", 3))
	if s := into[metav1.Status](t, resp, body, 200); s.Status != "Success" {
		t.Errorf("answer: %s", body)
	}
	resp, body = r.do("GET", todayDeployments+"/nginx", "", "")
	if d := into[appsv1.Deployment](t, resp, body, 200); d.Annotations[api.RollbackTo] != "3" || d.Annotations["why"] != "broken" {
		t.Errorf("annotations: %v", d.Annotations)
	}
	resp, body = r.do("GET", oldDeployments+"/nginx", "", "")
	if d := into[extensionsv1beta1.Deployment](t, resp, body, 200); d.Spec.RollbackTo == nil || d.Spec.RollbackTo.Revision != 3 || d.Annotations[api.RollbackTo] != "" {
		t.Errorf("then: %s", body)
	}
	for want, ask := range map[int]string{
		422: fmt.Sprintf(ask, "nginx", -1),
		400: fmt.Sprintf(ask, "other", 1),
	} {
		if resp, body = r.do("POST", oldDeployments+"/nginx/rollback", asJSON, ask); resp.StatusCode != want {
			t.Errorf("got %d, want %d: %s", resp.StatusCode, want, body)
		}
	}
	if resp, _ = r.do("POST", todayDeployments+"/nginx/rollback", asJSON, fmt.Sprintf(ask, "nginx", 1)); resp.StatusCode != 404 {
		t.Errorf("today's version: %d", resp.StatusCode)
	}
}

func TestWatchAndProtobufOfARetiredVersion(t *testing.T) {
	ctx, cfg := within(t), apitest.Start(t)
	cs := clientset(t, inProtobuf(cfg))
	w, err := cs.ExtensionsV1beta1().Deployments("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	d := &appsv1.Deployment{}
	if err := yaml.Unmarshal([]byte(strings.Replace(deployment2016, "extensions/v1beta1", "apps/v1", 1)), d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: d.Spec.Template.Labels}
	if _, err := cs.AppsV1().Deployments("default").Create(ctx, d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-w.ResultChan():
		old, ok := e.Object.(*extensionsv1beta1.Deployment)
		if e.Type != watch.Added || !ok || old.Name != "nginx" || old.Spec.Strategy.RollingUpdate.MaxSurge.String() != "25%" {
			t.Errorf("saw %s %+v", e.Type, e.Object)
		}
	case <-ctx.Done():
		t.Fatal("nothing was seen")
	}
	list, err := cs.AppsV1beta2().Deployments("default").List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "nginx" {
		t.Errorf("list: %v %v", list, err)
	}
	if err := cs.AppsV1beta1().Deployments("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := cs.AppsV1().Deployments("default").Get(ctx, "nginx", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the delete: %v", err)
	}
}

// Server-side apply knows the owner of a field whatever the version it was applied in.
func TestApplyInSeveralVersions(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	old := strings.Replace(deployment2016, `"replicas": 2`, `"replicas": 2, "selector": {"matchLabels": {"run": "nginx"}}`, 1)
	today := strings.Replace(strings.Replace(old, "extensions/v1beta1", "apps/v1", 1), `"replicas": 2`, `"replicas": 3`, 1)
	apply := func(path, manager, body, force string) (*http.Response, string) {
		return r.do("PATCH", path+"/nginx?fieldManager="+manager+force, string(types.ApplyPatchType), body)
	}
	resp, body := apply(oldDeployments, "then", old, "")
	d := into[extensionsv1beta1.Deployment](t, resp, body, 201)
	if len(d.ManagedFields) != 1 || d.ManagedFields[0].APIVersion != "extensions/v1beta1" || d.ManagedFields[0].Manager != "then" {
		t.Errorf("managers: %+v", d.ManagedFields)
	}
	resp, body = apply(todayDeployments, "now", today, "")
	if resp.StatusCode != 409 || !strings.Contains(body, `conflict with \"then\": .spec.replicas`) {
		t.Errorf("a field that another has: %d %s", resp.StatusCode, body)
	}
	resp, body = apply(todayDeployments, "now", today, "&force=true")
	if now := into[appsv1.Deployment](t, resp, body, 200); *now.Spec.Replicas != 3 || len(now.ManagedFields) != 2 {
		t.Errorf("forced: %s", body)
	}
	resp, body = apply(oldDeployments, "then", old, "")
	if resp.StatusCode != 409 || !strings.Contains(body, `conflict with \"now\": .spec.replicas`) {
		t.Errorf("the way back: %d %s", resp.StatusCode, body)
	}
	resp, body = r.do("PATCH", oldDeployments+"/nginx?fieldManager=third", string(types.MergePatchType), `{"spec":{"paused":true}}`)
	if d = into[extensionsv1beta1.Deployment](t, resp, body, 200); len(d.ManagedFields) != 3 {
		t.Errorf("a patch between: %+v", d.ManagedFields)
	}
}

func TestBudgetForNoPods(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const old, today = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets", "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
	const budget = `{"apiVersion":%q,"kind":"PodDisruptionBudget","metadata":{"name":%q},"spec":{"minAvailable":1,"selector":{}}}`
	for _, c := range []struct{ path, version, name, other, want string }{
		{old, "policy/v1beta1", "then", today, `{"key":"pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match","operator":"Exists"}`},
		{today, "policy/v1", "now", old, `{"key":"pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match","operator":"DoesNotExist"}`},
	} {
		resp, body := r.do("POST", c.path, asJSON, fmt.Sprintf(budget, c.version, c.name))
		if resp.StatusCode != 201 || !strings.Contains(body, `"selector":{}`) {
			t.Errorf("%s: %d %s", c.version, resp.StatusCode, body)
		}
		if _, body = r.do("GET", c.other+"/"+c.name, "", ""); !strings.Contains(body, c.want) {
			t.Errorf("from the other side: %s", body)
		}
	}
}

func TestIngressOf2016(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for group, name := range map[string]string{"extensions": "first", "networking.k8s.io": "second"} {
		path := "/apis/" + group + "/v1beta1/namespaces/default/ingresses"
		resp, body := r.do("POST", path, asJSON, fmt.Sprintf(`{"apiVersion":"%s/v1beta1","kind":"Ingress","metadata":{"name":%q},
		  "spec":{"backend":{"serviceName":"web","servicePort":80},"rules":[{"host":"a.b","http":{"paths":[{"path":"/x","backend":{"serviceName":"api","servicePort":"http"}}]}}]}}`, group, name))
		if resp.StatusCode != 201 || !strings.Contains(body, `"backend":{"serviceName":"web","servicePort":80}`) || !strings.Contains(resp.Header.Get("Warning"), "use networking.k8s.io/v1 Ingress") {
			t.Errorf("%s: %d %q %s", group, resp.StatusCode, resp.Header.Get("Warning"), body)
		}
		resp, body = r.do("GET", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/"+name, "", "")
		in := into[networkingv1.Ingress](t, resp, body, 200)
		path0 := in.Spec.Rules[0].HTTP.Paths[0]
		if in.Spec.DefaultBackend.Service.Port.Number != 80 || path0.Backend.Service.Port.Name != "http" || *path0.PathType != networkingv1.PathTypeImplementationSpecific {
			t.Errorf("today: %s", body)
		}
	}
}

func TestAutoscalerV1(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const v1, v2 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
	resp, body := r.do("POST", v1, asJSON, `{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},
	  "spec":{"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"},"maxReplicas":5,"targetCPUUtilizationPercentage":50}}`)
	h := into[autoscalingv1.HorizontalPodAutoscaler](t, resp, body, 201)
	if *h.Spec.TargetCPUUtilizationPercentage != 50 || *h.Spec.MinReplicas != 1 || len(h.Annotations) != 0 || resp.Header.Get("Warning") != "" {
		t.Errorf("v1: %q %s", resp.Header.Get("Warning"), body)
	}
	more := `{"spec":{"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}},
	  {"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"100Mi"}}}],"behavior":{"scaleDown":{"stabilizationWindowSeconds":60}}}}`
	if resp, body = r.do("PATCH", v2+"/h", string(types.MergePatchType), more); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	resp, body = r.do("PATCH", v1+"/h", string(types.MergePatchType), `{"spec":{"maxReplicas":9}}`)
	h = into[autoscalingv1.HorizontalPodAutoscaler](t, resp, body, 200)
	if *h.Spec.TargetCPUUtilizationPercentage != 60 || h.Annotations["autoscaling.alpha.kubernetes.io/metrics"] !=
		`[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"100Mi"}}]` || !strings.Contains(h.Annotations["autoscaling.alpha.kubernetes.io/behavior"], `"stabilizationWindowSeconds":60`) {
		t.Errorf("v1 of two metrics: %s", body)
	}
	if _, body = r.do("GET", v2+"/h", "", ""); !strings.Contains(body, `"maxReplicas":9`) || !strings.Contains(body, `"averageValue":"100Mi"`) || strings.Contains(body, "alpha") {
		t.Errorf("v2 of what v1 has changed: %s", body)
	}
}

func TestDiscoveryOfRetiredVersions(t *testing.T) {
	cfg := apitest.Start(t)
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	groups, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		want := map[string]string{
			"apps": "v1 v1beta2 v1beta1", "autoscaling": "v2 v1", "batch": "v1 v1beta1", "extensions": "v1beta1",
			"networking.k8s.io": "v1 v1beta1", "policy": "v1 v1beta1",
		}[g.Name]
		var got []string
		for _, v := range g.Versions {
			got = append(got, v.Version)
		}
		if want != "" && (strings.Join(got, " ") != want || g.PreferredVersion.Version != got[0]) {
			t.Errorf("%s: %v, preferred %s; want %s", g.Name, got, g.PreferredVersion.Version, want)
		}
	}
	var names []string
	for _, l := range lists {
		for _, res := range l.APIResources {
			if l.GroupVersion == "extensions/v1beta1" {
				names = append(names, res.Name)
			}
		}
	}
	const want = "daemonsets daemonsets/status deployments deployments/rollback deployments/scale deployments/status " +
		"ingresses ingresses/status replicasets replicasets/scale replicasets/status"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("extensions/v1beta1 has\n%s\nwant\n%s", got, want)
	}
	docs, err := openapi.V3(api.Aliases)
	if err != nil {
		t.Fatal(err)
	}
	if doc := string(docs["apis/extensions/v1beta1"]); !strings.Contains(doc, "deployments/{name}/rollback") || !strings.Contains(doc, "io.k8s.api.extensions.v1beta1.Scale") {
		t.Error("OpenAPI of extensions/v1beta1 lacks rollback or Scale")
	}
}

// client-go's informers follow a retired version as any other: list by watch, bookmarks
// and all.
func TestInformerOfARetiredVersion(t *testing.T) {
	ctx, cfg := within(t), apitest.Start(t)
	for name, c := range map[string]*rest.Config{"json": cfg, "protobuf": inProtobuf(cfg)} {
		t.Run(name, func(t *testing.T) {
			cs := clientset(t, c)
			factory := informers.NewSharedInformerFactory(cs, 0)
			informer := factory.Extensions().V1beta1().Deployments()
			seen := make(chan string, 10)
			_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    func(o any) { seen <- "added " + o.(*extensionsv1beta1.Deployment).Name },
				UpdateFunc: func(_, o any) { seen <- fmt.Sprint("replicas ", *o.(*extensionsv1beta1.Deployment).Spec.Replicas) },
				DeleteFunc: func(any) { seen <- "deleted" },
			})
			if err != nil {
				t.Fatal(err)
			}
			factory.Start(ctx.Done())
			for _, ok := range factory.WaitForCacheSync(ctx.Done()) {
				if !ok {
					t.Fatal("the informer did not sync")
				}
			}
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}}
			d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: testPod("p").Spec}
			d.Spec.Selector = &metav1.LabelSelector{MatchLabels: d.Spec.Template.Labels}
			deployments := cs.AppsV1().Deployments("default")
			if _, err := deployments.Create(ctx, d, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := deployments.Patch(ctx, name, types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := deployments.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"added " + name, "replicas 4", "deleted"} {
				select {
				case got := <-seen:
					if got != want {
						t.Errorf("saw %q, want %q", got, want)
					}
				case <-ctx.Done():
					t.Fatalf("%q was not seen", want)
				}
			}
		})
	}
}
