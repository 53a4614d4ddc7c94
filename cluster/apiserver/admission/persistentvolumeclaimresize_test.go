package admission_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// A claim that names no class keeps none here: volumes made by hand come first, and the
// controller that looks for them gives the default class.
func TestClaimsKeepTheirClass(t *testing.T) {
	o := cluster()
	o.Put("storage.k8s.io", "storageclasses", &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{
		Name: "standard", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
	}})
	c := newChain(t, o, serviceallocator.Config{})
	for _, finalizers := range [][]string{nil, {"kubernetes.io/pvc-protection"}} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: meta("a", "c")}
		claim.Finalizers = finalizers
		want(t, c.Admit(bg, &admission.Request{Verb: admission.Create, Kind: kind("", "persistentvolumeclaims"), Namespace: "a", Name: "c", Object: claim}), "")
		if !slices.Equal(claim.Finalizers, []string{"kubernetes.io/pvc-protection"}) {
			t.Errorf("finalizers %v", claim.Finalizers)
		}
		if claim.Spec.StorageClassName != nil {
			t.Errorf("class %q", *claim.Spec.StorageClassName)
		}
	}
}

func TestClaimsGrowWhereTheirClassLetsThem(t *testing.T) {
	o := cluster()
	yes, no := true, false
	for name, grows := range map[string]*bool{"grows": &yes, "stays": &no, "silent": nil} {
		o.Put("storage.k8s.io", "storageclasses", &storagev1.StorageClass{ObjectMeta: meta("", name), AllowVolumeExpansion: grows})
	}
	c := newChain(t, o, serviceallocator.Config{})
	refused := func(why string) string { return `persistentvolumeclaims "c" is forbidden: ` + why }
	const unable = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
	for _, x := range []struct {
		name, class, size string
		phase             corev1.PersistentVolumeClaimPhase
		want              string
	}{
		{"that grows", "grows", "2Gi", corev1.ClaimBound, ""},
		{"that does not", "stays", "2Gi", corev1.ClaimBound, refused(unable)},
		{"that says nothing", "silent", "2Gi", corev1.ClaimBound, refused(unable)},
		{"that is gone", "gone", "2Gi", corev1.ClaimBound, refused(unable)},
		{"none", "", "2Gi", corev1.ClaimBound, refused(unable)},
		{"not bound", "grows", "2Gi", corev1.ClaimPending, refused("Only bound persistent volume claims can be expanded")},
		{"the same size", "stays", "1024Mi", corev1.ClaimBound, ""},
		{"the annotation of before", "beta:grows", "2Gi", corev1.ClaimBound, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			old := &corev1.PersistentVolumeClaim{ObjectMeta: meta("a", "c"), Status: corev1.PersistentVolumeClaimStatus{Phase: x.phase}}
			if beta, ok := strings.CutPrefix(x.class, "beta:"); ok {
				old.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: beta}
			} else if x.class != "" {
				old.Spec.StorageClassName = &x.class
			}
			old.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
			claim := old.DeepCopy()
			claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse(x.size)
			want(t, c.Validate(bg, &admission.Request{
				Verb: admission.Update, Kind: kind("", "persistentvolumeclaims"), Namespace: "a", Name: "c", Object: claim, Old: old,
			}), x.want)
		})
	}
}

func TestVolumesAreProtectedAndNodesTainted(t *testing.T) {
	c := newChain(t, cluster(), serviceallocator.Config{})
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
