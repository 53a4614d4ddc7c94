package kubelet_test

import (
	"context"
	"testing"

	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod runs by a class whose handler the node has; another one's sandbox is not made,
// and an event says why.
func TestRuntimeClass(t *testing.T) {
	n := newNode(t,
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "usual"}, Handler: "runc"},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "boxed"}, Handler: "box"})
	with := func(name, class string) *v1.Pod {
		p := pod(name, "true")
		p.Spec.RuntimeClassName = &class
		return p
	}
	n.succeeds(with("usual", "usual"))
	n.create(with("boxed", "boxed"))
	n.create(with("lost", "gone"))
	n.saysAll(
		`Warning FailedCreatePodSandBox Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "box" is configured`,
		`Warning FailedCreatePodSandBox Failed to create pod sandbox: runtimeclasses.node.k8s.io "gone" not found`)
	for _, name := range []string{"boxed", "lost"} {
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), name, getOptions)
		if err != nil {
			t.Fatal(err)
		}
		if p.Status.Phase != v1.PodPending {
			t.Errorf("%s: %s", name, p.Status.Phase)
		}
	}
	n.delete2("usual", "boxed", "lost")
}
