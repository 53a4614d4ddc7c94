package apiserver_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/apiserver/apitest"
)

// A pod's size is got, patched and updated by a part of its own, which discovery lists,
// and by no other way.
func TestResizeSubresource(t *testing.T) {
	cfg := apitest.Start(t)
	ctx := within(t)
	client := clientset(t, cfg)
	pods := client.CoreV1().Pods("default")
	pod := testPod("r")
	pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("100m")}
	pod, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	patch := func(cpu, sub string) (*corev1.Pod, error) {
		text := `{"spec":{"containers":[{"name":"` + pod.Spec.Containers[0].Name + `","resources":{"requests":{"cpu":"` + cpu + `"}}}]}}`
		return pods.Patch(ctx, "r", types.StrategicMergePatchType, []byte(text), metav1.PatchOptions{}, sub)
	}
	if _, err := patch("200m", ""); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "pod updates may not change fields other than") {
		t.Errorf("by the ordinary way: %v", err)
	}
	got, err := patch("200m", "resize")
	if err != nil {
		t.Fatal(err)
	}
	if q := got.Spec.Containers[0].Resources.Requests.Cpu().String(); q != "200m" || got.Generation != 2 {
		t.Errorf("patched: %s, generation %d", q, got.Generation)
	}
	stale := pod.DeepCopy()
	if _, err := pods.UpdateResize(ctx, "r", stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of what was before: %v", err)
	}
	got.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("300m")
	got.Labels = map[string]string{"not": "this way"}
	if got, err = pods.UpdateResize(ctx, "r", got, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if q := got.Spec.Containers[0].Resources.Requests.Cpu().String(); q != "300m" || got.Generation != 3 || got.Labels["not"] != "" {
		t.Errorf("updated: %s, generation %d, labels %v", q, got.Generation, got.Labels)
	}
	read := &corev1.Pod{}
	if err := client.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Name("r").SubResource("resize").Do(ctx).Into(read); err != nil {
		t.Fatal(err)
	}
	if read.ResourceVersion != got.ResourceVersion {
		t.Errorf("read at %s, written at %s", read.ResourceVersion, got.ResourceVersion)
	}
	list, err := client.Discovery().ServerResourcesForGroupVersion("v1")
	if err != nil {
		t.Fatal(err)
	}
	verbs := ""
	for _, r := range list.APIResources {
		if r.Name == "pods/resize" {
			verbs = r.Kind + " " + strings.Join(r.Verbs, " ")
		}
	}
	if verbs != "Pod get patch update" {
		t.Errorf("discovery says %q", verbs)
	}
}
