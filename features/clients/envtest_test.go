package clients

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestEnvtest: tests of controllers that use envtest run against this server as an existing cluster. (What
// envtest starts automatically is kube-apiserver and etcd, with their flags.)
func TestEnvtest(t *testing.T) {
	c := startServer(t)
	existing := true
	env := &envtest.Environment{UseExistingCluster: &existing, Config: c.config}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	k, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "envtest-"}}
	if err := k.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "settings"}, Data: map[string]string{"a": "1"}}
	if err := k.Create(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(settings.DeepCopy())
	settings.Data["a"] = "2"
	if err := k.Patch(t.Context(), settings, patch, client.FieldOwner("envtest")); err != nil {
		t.Fatal(err)
	}
	var list corev1.ConfigMapList
	if err := k.List(t.Context(), &list, client.InNamespace(namespace.Name), client.MatchingFields{"metadata.name": "settings"}); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Data["a"] != "2" {
		t.Errorf("listed are %v", list.Items)
	}
}
