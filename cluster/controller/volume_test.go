package controller_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

func (c *testCluster) volume(name, size string, policy v1.PersistentVolumeReclaimPolicy, edit ...func(*v1.PersistentVolume)) {
	c.t.Helper()
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeSpec{
			Capacity: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: policy,
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/tmp/" + name}},
		},
	}
	for _, e := range edit {
		e(pv)
	}
	_, err := c.CoreV1().PersistentVolumes().Create(c.t.Context(), pv, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) claim(name, size, volume string) {
	c.t.Helper()
	none := ""
	_, err := c.CoreV1().PersistentVolumeClaims("default").Create(c.t.Context(), &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: &none, VolumeName: volume, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}},
		},
	}, metav1.CreateOptions{})
	c.must(err)
}

func (c *testCluster) expectClaim(name string, phase v1.PersistentVolumeClaimPhase, volume string) {
	c.t.Helper()
	wait.For(c.t, fmt.Sprintf("claim %s %s to %q", name, phase, volume), func() error {
		got, err := c.CoreV1().PersistentVolumeClaims("default").Get(c.t.Context(), name, metav1.GetOptions{})
		c.must(err)
		if got.Status.Phase != phase || got.Spec.VolumeName != volume {
			return fmt.Errorf("%s to %q", got.Status.Phase, got.Spec.VolumeName)
		}
		return nil
	})
}

func (c *testCluster) expectVolume(name string, phase v1.PersistentVolumePhase) {
	c.t.Helper()
	wait.For(c.t, fmt.Sprintf("volume %s %s", name, phase), func() error {
		got, err := c.CoreV1().PersistentVolumes().Get(c.t.Context(), name, metav1.GetOptions{})
		c.must(err)
		if got.Status.Phase != phase {
			return wait.Seen(false, got.Status)
		}
		return nil
	})
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	// The smallest that fits is taken.
	c.volume("big", "10Gi", v1.PersistentVolumeReclaimRetain)
	c.volume("small", "1Gi", v1.PersistentVolumeReclaimRetain)
	c.volume("tiny", "1Mi", v1.PersistentVolumeReclaimRetain)
	c.expectVolume("small", v1.VolumeAvailable)
	c.expectVolume("big", v1.VolumeAvailable)
	c.claim("data", "500Mi", "")
	c.expectClaim("data", v1.ClaimBound, "small")
	c.expectVolume("small", v1.VolumeBound)

	// A claim that names its volume, and one that nothing fits.
	c.claim("named", "1Gi", "big")
	c.expectClaim("named", v1.ClaimBound, "big")
	c.claim("huge", "1Ti", "")
	c.expectClaim("huge", v1.ClaimPending, "")
	c.volume("huge", "1Ti", v1.PersistentVolumeReclaimDelete)
	c.expectClaim("huge", v1.ClaimBound, "huge")

	// A volume kept for one claim is not given to another.
	c.volume("kept", "2Ti", v1.PersistentVolumeReclaimRetain, func(pv *v1.PersistentVolume) {
		pv.Spec.ClaimRef = &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "default", Name: "later"}
	})
	c.claim("other", "2Ti", "")
	c.expectClaim("other", v1.ClaimPending, "")
	c.claim("later", "1Mi", "")
	c.expectClaim("later", v1.ClaimBound, "kept")

	// A volume that does not fit is bound when it and the claim name each other only.
	ofAClass := func(pv *v1.PersistentVolume) { pv.Spec.StorageClassName = "fast" }
	c.volume("fast", "1Gi", v1.PersistentVolumeReclaimRetain, ofAClass)
	c.claim("slow", "1Gi", "fast")
	c.expectEvent("slow", "VolumeMismatch", `Cannot bind to requested volume "fast": storageClassName does not match`)
	c.volume("chosen", "1Gi", v1.PersistentVolumeReclaimRetain, ofAClass, func(pv *v1.PersistentVolume) {
		pv.Spec.ClaimRef = &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "default", Name: "chosen"}
	})
	c.claim("chosen", "1Gi", "chosen")
	c.expectClaim("chosen", v1.ClaimBound, "chosen")

	// Its volume's attributes are the claim's.
	c.volume("gold", "1Gi", v1.PersistentVolumeReclaimRetain, func(pv *v1.PersistentVolume) {
		pv.Spec.VolumeAttributesClassName = new("gold")
		pv.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: "gold"}}
	})
	c.claim("iron", "1Gi", "gold")
	c.expectEvent("iron", "VolumeMismatch", `Cannot bind to requested volume "gold": volumeAttributesClassName does not match`)
	claim, err := c.CoreV1().PersistentVolumeClaims("default").Create(ctx, &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "golden"},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: new(""), VolumeAttributesClassName: new("gold"), AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}, metav1.CreateOptions{})
	c.must(err)
	c.expectClaim(claim.Name, v1.ClaimBound, "gold")
	claim, err = c.CoreV1().PersistentVolumeClaims("default").Get(ctx, claim.Name, metav1.GetOptions{})
	c.must(err)
	if current := claim.Status.CurrentVolumeAttributesClassName; current == nil || *current != "gold" {
		t.Errorf("the claim's attributes: %v", current)
	}

	// What becomes of volumes whose claims go.
	for _, name := range []string{"data", "huge"} {
		c.must(c.CoreV1().PersistentVolumeClaims("default").Delete(ctx, name, metav1.DeleteOptions{}))
	}
	c.expectVolume("small", v1.VolumeReleased)
	c.expectVolume("huge", v1.VolumeFailed)

	// A bound volume waits for its claim; the claim for its pod.
	c.node("n1")
	_, err = c.CoreV1().Pods("default").Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "user"},
		Spec: v1.PodSpec{Containers: container(), Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "named"},
		}}}},
	}, metav1.CreateOptions{})
	c.must(err)
	wait.For(c.t, "running", func() error {
		p, err := c.CoreV1().Pods("default").Get(ctx, "user", metav1.GetOptions{})
		c.must(err)
		if p.Status.Phase != v1.PodRunning {
			return wait.Seen(false, p.Status)
		}
		return nil
	})
	c.must(c.CoreV1().PersistentVolumes().Delete(ctx, "big", metav1.DeleteOptions{}))
	c.must(c.CoreV1().PersistentVolumeClaims("default").Delete(ctx, "named", metav1.DeleteOptions{}))
	c.expectClaim("named", v1.ClaimBound, "big")
	c.must(c.CoreV1().Pods("default").Delete(ctx, "user", metav1.DeleteOptions{}))
	wait.For(c.t, "claim and volume gone", func() error {
		_, a := c.CoreV1().PersistentVolumeClaims("default").Get(ctx, "named", metav1.GetOptions{})
		_, b := c.CoreV1().PersistentVolumes().Get(ctx, "big", metav1.GetOptions{})
		if !apierrors.IsNotFound(a) || !apierrors.IsNotFound(b) {
			return fmt.Errorf("claim: %v, volume: %v", a, b)
		}
		return nil
	})
}
