package admission_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/admission"
)

func TestDefaultStorageClass(t *testing.T) {
	o := cluster()
	c := newChain(t, o, admission.ServicesConfig{})
	claimed := func(edit ...func(*corev1.PersistentVolumeClaim)) string {
		t.Helper()
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta("a", "c")}
		for _, e := range edit {
			e(claim)
		}
		want(t, c.Admit(bg, &admission.Request{Verb: admission.Create, Kind: kind("", "persistentvolumeclaims"), Namespace: "a", Name: "c", Object: claim}), "")
		if !slices.Equal(claim.Finalizers, []string{"kubernetes.io/pvc-protection"}) {
			t.Errorf("finalizers %v", claim.Finalizers)
		}
		if claim.Spec.StorageClassName == nil {
			return "<nil>"
		}
		return *claim.Spec.StorageClassName
	}
	is := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("class %q, want %q", got, want)
		}
	}
	class := func(name string, annotation string, age time.Duration) {
		s := &storagev1.StorageClass{ObjectMeta: meta("", name)}
		s.CreationTimestamp = metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))
		if annotation != "" {
			s.Annotations = map[string]string{annotation: "true"}
		}
		o.Put("storage.k8s.io", "storageclasses", s)
	}
	is(claimed(), "<nil>")
	class("plain", "", 0)
	is(claimed(), "<nil>")
	class("old", "storageclass.beta.kubernetes.io/is-default-class", time.Hour)
	is(claimed(), "old")
	class("new", "storageclass.kubernetes.io/is-default-class", time.Minute)
	is(claimed(), "new")
	none, own := "", "plain"
	is(claimed(func(p *corev1.PersistentVolumeClaim) { p.Spec.StorageClassName = &none }), "")
	is(claimed(func(p *corev1.PersistentVolumeClaim) { p.Spec.StorageClassName = &own }), "plain")
	is(claimed(func(p *corev1.PersistentVolumeClaim) {
		p.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: "plain"}
		p.Finalizers = []string{"kubernetes.io/pvc-protection"}
	}), "<nil>")
}

func TestVolumesAreProtectedAndNodesTainted(t *testing.T) {
	c := newChain(t, cluster(), admission.ServicesConfig{})
	volume := &corev1.PersistentVolume{ObjectMeta: meta("", "v")}
	want(t, c.Admit(bg, &admission.Request{Verb: admission.Create, Kind: kind("", "persistentvolumes"), Name: "v", Object: volume}), "")
	if !slices.Equal(volume.Finalizers, []string{"kubernetes.io/pv-protection"}) {
		t.Errorf("finalizers %v", volume.Finalizers)
	}
	node := &corev1.Node{ObjectMeta: meta("", "n")}
	for range 2 {
		want(t, c.Admit(bg, &admission.Request{Verb: admission.Create, Kind: kind("", "nodes"), Name: "n", Object: node}), "")
	}
	if len(node.Spec.Taints) != 1 || node.Spec.Taints[0].ToString() != "node.kubernetes.io/not-ready:NoSchedule" {
		t.Errorf("taints %v", node.Spec.Taints)
	}
}
