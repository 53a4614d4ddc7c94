//go:build !quick

package kubelet_test

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A device of the node is a device in the container, which may use it as far as the
// volume is not read-only.
func TestBlockVolume(t *testing.T) {
	n := newNode(t)
	// A device need not be there for a container to have its name.
	if err := unix.Mknod(n.root+"/disk/device", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 255))); err != nil {
		t.Fatal(err)
	}
	ctx, mode := context.Background(), v1.PersistentVolumeBlock
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "raw"}, Spec: v1.PersistentVolumeSpec{
		VolumeMode: &mode, ClaimRef: &v1.ObjectReference{Namespace: "default", Name: "claim", UID: "claim-uid"},
		PersistentVolumeSource: v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: "/device"}},
	}}
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "claim", UID: "claim-uid"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "raw", VolumeMode: &mode},
		Status:     v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
	}
	if _, err := n.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.CoreV1().PersistentVolumeClaims("default").Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	source := v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}
	p := pod("block", "test -b /dev/mine")
	p.Spec.Volumes = []v1.Volume{{Name: "disk", VolumeSource: source}}
	p.Spec.Containers[0].VolumeDevices = []v1.VolumeDevice{{Name: "disk", DevicePath: "/dev/mine"}}
	n.succeeds(p)

	wrong := pod("wrong", "true")
	mounted(wrong, "disk", source, v1.VolumeMount{MountPath: "/v"})
	n.create(wrong)
	n.saysAll(`volume disk has volumeMode Block, but is specified in volumeMounts`)
	n.delete2("block", "wrong")
}
