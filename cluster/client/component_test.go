package client

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
)

func TestAs(t *testing.T) {
	shared := &rest.Config{Host: "h"}
	got := As(shared, Kubelet)
	if !strings.HasPrefix(got.UserAgent, "kubelet/v") || got.Host != "h" || shared.UserAgent != "" {
		t.Errorf("the user agent is %q, that of the shared configuration %q", got.UserAgent, shared.UserAgent)
	}
}

func TestInformers(t *testing.T) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Namespace: "d", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "x"}}}}
	f := Informers(fake.NewClientset(m))
	maps := f.Core().V1().ConfigMaps().Lister()
	f.Start(t.Context().Done())
	f.WaitForCacheSync(t.Context().Done())
	got, err := maps.ConfigMaps("d").Get("m")
	if err != nil || got.ManagedFields != nil {
		t.Errorf("in the cache: %v, %v", got, err)
	}
}
