package controller_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

func (c *testCluster) taint(node string, taints ...v1.Taint) {
	c.t.Helper()
	wait.For(c.t, "taints of "+node, func() error {
		n, err := c.CoreV1().Nodes().Get(c.t.Context(), node, metav1.GetOptions{})
		c.must(err)
		n.Spec.Taints = taints
		if _, err = c.CoreV1().Nodes().Update(c.t.Context(), n, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return nil
	})
}

func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n")
	c.expectEvent("n", "RegisteredNode", "Node n event: Registered Node n in Controller")
	c.must(c.CoreV1().Nodes().Delete(t.Context(), "n", metav1.DeleteOptions{}))
	c.expectEvent("n", "RemovingNode", "Node n event: Removing Node n from Controller")
}

// TestNoExecute taints a node as kubectl does, without a time: who tolerates it stays,
// who tolerates it for a while goes then, who does not goes at once.
func TestNoExecute(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n")
	hour, second := int64(3600), int64(1)
	tolerate := func(seconds *int64) []v1.Toleration {
		return []v1.Toleration{{Key: "broken", Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute, TolerationSeconds: seconds}}
	}
	for name, tolerations := range map[string][]v1.Toleration{"none": nil, "forever": tolerate(nil), "hour": tolerate(&hour), "second": tolerate(&second)} {
		_, err := c.CoreV1().Pods("default").Create(t.Context(), &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{Containers: container(), Tolerations: tolerations},
		}, metav1.CreateOptions{})
		c.must(err)
		c.nodeOfPod(name)
	}
	began := time.Now()
	c.taint("n", v1.Taint{Key: "broken", Effect: v1.TaintEffectNoExecute})
	gone := func(name string) {
		wait.For(c.t, name+" gone", func() error {
			p, err := c.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return wait.Seen(false, p.Status.Conditions, err)
		})
	}
	gone("none")
	c.expectEvent("none", "TaintManagerEviction", "Marking for deletion Pod default/none")
	gone("second")
	if took := time.Since(began); took < time.Second {
		t.Errorf("gone after %v of a second", took)
	}
	c.taint("n")
	c.expectEvent("hour", "TaintManagerEviction", "Cancelling deletion of Pod default/hour")
	for _, name := range []string{"forever", "hour"} {
		if p, err := c.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil || p.DeletionTimestamp != nil {
			t.Errorf("%s did not stay: %v", name, err)
		}
	}
}
