package apiserver_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/openapi"
)

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
			"apps": "v1 v1beta2 v1beta1", "autoscaling": "v2 v1 v2beta2 v2beta1", "batch": "v1 v1beta1 v2alpha1", "extensions": "v1beta1",
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
		"ingresses ingresses/status networkpolicies replicasets replicasets/scale replicasets/status"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("extensions/v1beta1 has\n%s\nwant\n%s", got, want)
	}
	docs, err := openapi.V3(builtin.Table().Served()[len(builtin.Kinds):])
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

// Clients up to 1.21 evict in the former version of policy.
func TestFormerEviction(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for _, c := range []struct {
		version string
		code    int
	}{{"policy/v1beta1", 201}, {"policy/v1", 201}, {"policy/v2", 400}} {
		name := "p" + strings.ReplaceAll(c.version, "/", "-")
		if resp, body := r.do("POST", somePods, asJSON, strings.Replace(podJSON, `"name":"p"`, fmt.Sprintf(`"name":%q`, name), 1)); resp.StatusCode != 201 {
			t.Fatal(body)
		}
		eviction := fmt.Sprintf(`{"apiVersion":%q,"kind":"Eviction","metadata":{"name":%q},"deleteOptions":{"gracePeriodSeconds":0}}`, c.version, name)
		if resp, body := r.do("POST", somePods+"/"+name+"/eviction", asJSON, eviction); resp.StatusCode != c.code {
			t.Errorf("%s: %d %s", c.version, resp.StatusCode, body)
		}
		gone := c.code == 201
		if resp, _ := r.do("GET", somePods+"/"+name, "", ""); gone != (resp.StatusCode == 404) {
			t.Errorf("%s: afterwards reading the pod is answered with %d", c.version, resp.StatusCode)
		}
	}
}
