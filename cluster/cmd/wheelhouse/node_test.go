//go:build !quick

package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// proxierReadsAddresses expects that a node's second identity lists and watches of pods what network policies depend on, and no more.
func proxierReadsAddresses(t *testing.T, root, proxier kubernetes.Interface) {
	t.Helper()
	secret := "not for nodes"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"note": secret}},
		Spec: corev1.PodSpec{NodeName: "n2", Containers: []corev1.Container{{
			Name: "c", Image: "i", Args: []string{secret}, Env: []corev1.EnvVar{{Name: "PASSWORD", Value: secret}}, Ports: []corev1.ContainerPort{{Name: "sql", ContainerPort: 5432}},
		}}},
	}
	must[*corev1.Pod](t)(root.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}))
	only := metav1.ListOptions{FieldSelector: "metadata.name=elsewhere"}
	watch := must[watch.Interface](t)(proxier.CoreV1().Pods("").Watch(t.Context(), only))
	defer watch.Stop()
	seen := []corev1.Pod{}
	select {
	case e := <-watch.ResultChan():
		if p, ok := e.Object.(*corev1.Pod); ok {
			seen = append(seen, *p)
		}
	case <-time.After(time.Minute):
	}
	seen = append(seen, must[*corev1.PodList](t)(proxier.CoreV1().Pods("").List(t.Context(), only)).Items...)
	if len(seen) != 2 {
		t.Fatalf("the proxy's pods: %v", seen)
	}
	for _, p := range seen {
		text := must[[]byte](t)(json.Marshal(p))
		if strings.Contains(string(text), secret) || p.Labels["app"] != "db" || p.Spec.NodeName != "n2" || len(p.Spec.Containers) != 1 || p.Spec.Containers[0].Ports[0].Name != "sql" {
			t.Errorf("a pod as the proxy reads it: %s", text)
		}
	}
	if _, err := proxier.CoreV1().Pods("default").Get(t.Context(), "elsewhere", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a pod by its name for the proxy: %v", err)
	}
	for _, form := range []string{"application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"} {
		body, err := proxier.CoreV1().RESTClient().Get().Resource("pods").SetHeader("Accept", form).Param("includeObject", "Object").DoRaw(t.Context())
		if err == nil || strings.Contains(string(body), secret) {
			t.Errorf("pods as %s for the proxy: %s, %v", form, body, err)
		}
	}
}
