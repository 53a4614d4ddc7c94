//go:build !quick

package kubelet_test

import (
	"context"
	"testing"

	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod runs by a class whose handler the node has; another one's sandbox is not made,
// and an event has the reason.
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
	// PodSecurity allows it all of /proc at every level, since it requests a user namespace.
	own := pod("own", "true")
	own.Spec.HostUsers = new(false)
	own.Spec.Containers[0].SecurityContext = &v1.SecurityContext{ProcMount: new(v1.UnmaskedProcMount)}
	n.create(own)
	n.saysAll(
		`Warning FailedCreatePodSandBox Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "box" is configured`,
		`Warning FailedCreatePodSandBox Failed to create pod sandbox: runtimeclasses.node.k8s.io "gone" not found`,
		`Warning FailedCreatePodSandBox Failed to create pod sandbox: RuntimeClass handler "" does not support user namespaces`)
	for _, name := range []string{"boxed", "lost", "own"} {
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), name, getOptions)
		if err != nil {
			t.Fatal(err)
		}
		if p.Status.Phase != v1.PodPending {
			t.Errorf("%s: %s", name, p.Status.Phase)
		}
	}
	n.delete2("usual", "boxed", "lost", "own")
}
