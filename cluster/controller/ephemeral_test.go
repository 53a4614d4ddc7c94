package controller_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// A pod's generic ephemeral volume gets a claim that is the pod's own and goes with it; a
// claim of that name that somebody else has made is not touched, and an event says so.
func TestEphemeralVolume(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	claims := c.CoreV1().PersistentVolumeClaims("default")
	create := func(name string) *v1.Pod {
		t.Helper()
		p, err := c.CoreV1().Pods("default").Create(t.Context(), &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1.PodSpec{Containers: container(), Volumes: []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
				Ephemeral: &v1.EphemeralVolumeSource{VolumeClaimTemplate: &v1.PersistentVolumeClaimTemplate{
					ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"of": name}},
					Spec: v1.PersistentVolumeClaimSpec{
						StorageClassName: new(""), AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
						Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Mi")}},
					},
				}},
			}}}},
		}, metav1.CreateOptions{})
		c.must(err)
		return p
	}
	p := create("scratch")
	wait.For(c.t, "the claim", func() error {
		claim, err := claims.Get(t.Context(), "scratch-data", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !metav1.IsControlledBy(claim, p) || claim.Labels["of"] != "scratch" || claim.Spec.Resources.Requests.Storage().String() != "1Mi" {
			return wait.Seen(false, claim.ObjectMeta, claim.Spec)
		}
		return nil
	})
	c.must(c.CoreV1().Pods("default").Delete(t.Context(), "scratch", metav1.DeleteOptions{}))
	wait.For(c.t, "no claim", func() error {
		claim, err := claims.Get(t.Context(), "scratch-data", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, claim, err)
	})

	c.claimOf("other-data", new(""))
	create("other")
	wait.For(c.t, "the event", func() error {
		events, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=other"})
		c.must(err)
		var seen []string
		for _, e := range events.Items {
			if strings.Contains(e.Message, "PVC default/other-data was not created for pod default/other (pod is not owner)") {
				return nil
			}
			seen = append(seen, e.Message)
		}
		return wait.Seen(false, seen)
	})
	claim, err := claims.Get(t.Context(), "other-data", metav1.GetOptions{})
	if err != nil || len(claim.OwnerReferences) > 0 {
		t.Errorf("%v, %v", claim, err)
	}
}
