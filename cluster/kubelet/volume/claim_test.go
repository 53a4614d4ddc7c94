package volume

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// A claim's volume is read-only where the pod says so.
func TestReadOnlyClaim(t *testing.T) {
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: v1.PersistentVolumeSpec{
		ClaimRef:               &v1.ObjectReference{UID: "claim-uid"},
		PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: t.TempDir()}},
	}}
	pvc := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "claim", UID: "claim-uid"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "pv"}, Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
	}
	m := NewManager(Config{Client: fake.NewClientset(pv, pvc)}, t.TempDir())
	m.pod = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}
	for _, readOnly := range []bool{true, false} {
		source := v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "claim", ReadOnly: readOnly}}
		v, err := claim{}.SetUp(t.Context(), m, &v1.Volume{Name: "v", VolumeSource: source})
		if err != nil || v.ReadOnly != readOnly {
			t.Errorf("%+v, %v; want read-only %v", v, err, readOnly)
		}
	}
}
