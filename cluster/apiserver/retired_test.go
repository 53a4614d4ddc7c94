package apiserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/apps"
	"wheelhouse/cluster/apiserver/apitest"
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
	if d := into[appsv1.Deployment](t, resp, body, 200); d.Annotations[apps.RollbackTo] != "3" || d.Annotations["why"] != "broken" {
		t.Errorf("annotations: %v", d.Annotations)
	}
	resp, body = r.do("GET", oldDeployments+"/nginx", "", "")
	if d := into[extensionsv1beta1.Deployment](t, resp, body, 200); d.Spec.RollbackTo == nil || d.Spec.RollbackTo.Revision != 3 || d.Annotations[apps.RollbackTo] != "" {
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

// Server-side apply keeps the owner of a field whatever the version it was applied in.
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

// Kinds beside workloads in the versions of their beginnings: what they mean today, with the warning.
func TestFormerVersions(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for _, c := range []struct{ version, resource, object, warning, today, want string }{
		{
			"rbac.authorization.k8s.io/v1alpha1", "clusterrolebindings", `"kind":"ClusterRoleBinding","subjects":[{"kind":"User","name":"*"},{"kind":"ServiceAccount","name":"s","namespace":"n"}],"roleRef":{"kind":"ClusterRole","name":"view"}`,
			"use rbac.authorization.k8s.io/v1 ClusterRoleBinding", "rbac.authorization.k8s.io/v1",
			`"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"system:authenticated"},{"kind":"ServiceAccount","name":"s","namespace":"n"}]`,
		},
		{
			"rbac.authorization.k8s.io/v1beta1", "clusterroles", `"kind":"ClusterRole","rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]`,
			"use rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1", `"resources":["pods"]`,
		},
		{
			"storage.k8s.io/v1beta1", "storageclasses", `"kind":"StorageClass","provisioner":"example.com/disk"`,
			"use storage.k8s.io/v1 StorageClass", "storage.k8s.io/v1", `"reclaimPolicy":"Delete"`,
		},
		{
			"scheduling.k8s.io/v1beta1", "priorityclasses", `"kind":"PriorityClass","value":5`,
			"use scheduling.k8s.io/v1 PriorityClass", "scheduling.k8s.io/v1", `"value":5`,
		},
		{
			"node.k8s.io/v1alpha1", "runtimeclasses", `"kind":"RuntimeClass","spec":{"runtimeHandler":"runc"}`,
			"use node.k8s.io/v1 RuntimeClass", "node.k8s.io/v1", `"handler":"runc"`,
		},
		{
			"autoscaling/v2beta1", "namespaces/default/horizontalpodautoscalers", `"kind":"HorizontalPodAutoscaler","spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"php-apache"},
			  "minReplicas":1,"maxReplicas":10,"metrics":[{"type":"Resource","resource":{"name":"cpu","targetAverageUtilization":50}},{"type":"Pods","pods":{"metricName":"packets-per-second","targetAverageValue":"1k"}},
			  {"type":"Object","object":{"metricName":"requests-per-second","target":{"apiVersion":"extensions/v1beta1","kind":"Ingress","name":"main-route"},"targetValue":"10k"}}]}`,
			"use autoscaling/v2 HorizontalPodAutoscaler", "autoscaling/v2",
			`"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}},{"type":"Pods","pods":{"metric":{"name":"packets-per-second"},"target":{"type":"AverageValue","averageValue":"1k"}}},` +
				`{"type":"Object","object":{"describedObject":{"kind":"Ingress","name":"main-route","apiVersion":"extensions/v1beta1"},"target":{"type":"Value","value":"10k"},"metric":{"name":"requests-per-second"}}}]`,
		},
		{
			"autoscaling/v2beta2", "namespaces/default/horizontalpodautoscalers", `"kind":"HorizontalPodAutoscaler","spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"php-apache"},
			  "minReplicas":1,"maxReplicas":10,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}`,
			"use autoscaling/v2 HorizontalPodAutoscaler", "autoscaling/v2", `"target":{"type":"Utilization","averageUtilization":50}`,
		},
		{
			"batch/v2alpha1", "namespaces/default/cronjobs", `"kind":"CronJob","spec":{"schedule":"*/1 * * * *","jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"hello","image":"busybox",
			  "args":["/bin/sh","-c","date; echo Hello from the Kubernetes cluster"]}],"restartPolicy":"OnFailure"}}}}}`,
			"use batch/v1 CronJob", "batch/v1", `"successfulJobsHistoryLimit":3`,
		},
	} {
		resp, body := r.do("POST", "/apis/"+c.version+"/"+c.resource, asJSON, `{"apiVersion":"`+c.version+`","metadata":{"name":"old"},`+c.object+`}`)
		if warning := resp.Header.Get("Warning"); resp.StatusCode != 201 || !strings.Contains(warning, c.version) || !strings.Contains(warning, c.warning) {
			t.Errorf("%s %s: %d %q %s", c.version, c.resource, resp.StatusCode, warning, body)
		}
		if resp, body = r.do("GET", "/apis/"+c.today+"/"+c.resource+"/old", "", ""); resp.StatusCode != 200 || !strings.Contains(body, c.want) || resp.Header.Get("Warning") != "" {
			t.Errorf("%s %s: %d %s, want %s", c.today, c.resource, resp.StatusCode, body, c.want)
		}
		formerVersionIsWhole(t, r, "/apis/"+c.version+"/"+c.resource)
		r.do("DELETE", "/apis/"+c.today+"/"+c.resource+"/old", "", "")
	}
}

// formerVersionIsWhole lists, patches, applies, replaces and prints the object "old" of a former version.
func formerVersionIsWhole(t *testing.T, r *raw, path string) {
	t.Helper()
	var before struct{ APIVersion, Kind string }
	_, text := r.do("GET", path+"/old", "", "")
	if err := json.Unmarshal([]byte(text), &before); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"old","labels":`, before.APIVersion, before.Kind)
	for _, c := range []struct{ verb, path, media, body, want string }{
		{"GET", path, "", "", `"kind":"` + before.Kind + `List","apiVersion":"` + before.APIVersion + `"`},
		{"PATCH", path + "/old", string(types.MergePatchType), `{"metadata":{"labels":{"a":"merged"}}}`, `"a":"merged"`},
		{"PATCH", path + "/old?fieldManager=third&force=true", string(types.ApplyPatchType), head + `{"b":"applied"}}}`, `"b":"applied"`},
		{"PUT", path + "/old", asJSON, strings.Replace(text, `"name":"old",`, `"name":"old","labels":{"c":"put"},`, 1), ""},
	} {
		resp, body := r.do(c.verb, c.path, c.media, c.body)
		stale := c.verb == "PUT" && resp.StatusCode == 409 // it was changed since
		if !stale && (resp.StatusCode != 200 || !strings.Contains(strings.ReplaceAll(body, " ", ""), c.want)) {
			t.Errorf("%s %s: %d %s, want %s", c.verb, c.path, resp.StatusCode, body, c.want)
		}
	}
	resp, body := r.do("GET", path, "", "", "Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
	if table := into[metav1.Table](t, resp, body, 200); len(table.Rows) == 0 {
		t.Errorf("table of %s: %s", path, body)
	}
}

// A client of a former version reads and writes what today's has beside it.
func TestAutoscalerOf2018(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const then, now = "/apis/autoscaling/v2beta1/namespaces/default/horizontalpodautoscalers", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
	resp, body := r.do("POST", now, asJSON, `{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},
	  "maxReplicas":3,"metrics":[{"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"100Mi"}}}],"behavior":{"scaleDown":{"stabilizationWindowSeconds":60}}}}`)
	if resp.StatusCode != 201 {
		t.Fatal(body)
	}
	_, body = r.do("GET", then+"/web", "", "")
	for _, want := range []string{`"targetAverageValue":"100Mi"`, `\"stabilizationWindowSeconds\":60`, `"currentMetrics":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if resp, body = r.do("PUT", then+"/web", asJSON, strings.Replace(body, `"maxReplicas":3`, `"maxReplicas":4`, 1)); resp.StatusCode != 200 {
		t.Errorf("put: %d %s", resp.StatusCode, body)
	}
	_, body = r.do("GET", now+"/web", "", "")
	for _, want := range []string{`"maxReplicas":4`, `"stabilizationWindowSeconds":60`, `"averageValue":"100Mi"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if resp, _ = r.do("GET", then+"/web", "", "", "Accept", "application/vnd.kubernetes.protobuf"); resp.StatusCode != 406 {
		t.Errorf("protobuf: %d", resp.StatusCode)
	}
}

// A request for a version that is not served, of a kind that once was, names today's.
func TestSuccessorsAreNamed(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	const head = "the server could not find the requested resource"
	for path, want := range map[string]string{
		"/apis/batch/v2alpha1/namespaces/default/scheduledjobs": head + ": batch/v2alpha1 ScheduledJob is not served; use batch/v1 CronJob",
		"/apis/apps/v1alpha1/namespaces/default/petsets/db":     head + ": apps/v1alpha1 PetSet is not served; use apps/v1 StatefulSet",
		"/api/v1beta3/namespaces/default/pods":                  head + ": v1beta3 Pod is not served; use v1 Pod",
		"/apis/apps/v1/namespaces/default/widgets":              head,
	} {
		resp, body := r.do("GET", path, "", "")
		if s := into[metav1.Status](t, resp, body, 404); s.Message != want || s.Reason != metav1.StatusReasonNotFound {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}
}
