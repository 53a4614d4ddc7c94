package admission_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/apiserver/admission"
)

// adding is a webhook that adds a container and sets no defaults.
type adding struct{}

func (adding) Admit(_ context.Context, r *admission.Request) error {
	pod := r.Object.(*corev1.Pod)
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "sidecar", Image: "i:1"})
	return nil
}

func TestDefaultsAfterAWebhook(t *testing.T) {
	c := chainWith(t, cluster(), admission.Config{Webhooks: []admission.Mutator{adding{}}})
	pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i:1"}}}}
	r := &admission.Request{Verb: admission.Create, Kind: core.Pods, Namespace: "a", Name: "p", Object: pod}
	if err := c.Admit(bg, r); err != nil {
		t.Fatal(err)
	}
	defer c.Done(bg, r, nil)
	if len(pod.Spec.Containers) != 2 || pod.Spec.Containers[1].ImagePullPolicy != corev1.PullIfNotPresent {
		t.Errorf("the sidecar is not defaulted: %+v", pod.Spec.Containers)
	}
}
