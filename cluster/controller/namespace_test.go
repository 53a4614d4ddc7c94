package controller_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// What pods use while they end stays until they have ended.
func TestNamespacePodsFirst(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	_, err := c.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}}, metav1.CreateOptions{})
	c.must(err)
	pods, maps := c.CoreV1().Pods("lab"), c.CoreV1().ConfigMaps("lab")
	wait.For(c.t, "a pod that something holds", func() error {
		p := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.com/hold"}},
			Spec:       v1.PodSpec{Containers: container()},
		}
		if _, err := pods.Create(ctx, p, metav1.CreateOptions{}); err != nil { // no account yet
			return err
		}
		return nil
	})
	_, err = maps.Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}}, metav1.CreateOptions{})
	c.must(err)
	c.must(c.CoreV1().Namespaces().Delete(ctx, "lab", metav1.DeleteOptions{}))
	wait.For(c.t, "a round of deletion that tells of the pod", func() error {
		ns, err := c.CoreV1().Namespaces().Get(ctx, "lab", metav1.GetOptions{})
		c.must(err)
		p, err := pods.Get(ctx, "held", metav1.GetOptions{})
		c.must(err)
		for _, cond := range ns.Status.Conditions {
			if cond.Type == v1.NamespaceContentRemaining && cond.Message == "Some resources are remaining: pods. has 1 resource instances" && p.DeletionTimestamp != nil {
				return nil
			}
		}
		return wait.Seen(false, ns.Status.Conditions, p.DeletionTimestamp)
	})
	if _, err := maps.Get(ctx, "config", metav1.GetOptions{}); err != nil {
		t.Errorf("the config map went before the pod: %v", err)
	}
	wait.For(c.t, "the pod let go", func() error {
		p, err := pods.Get(ctx, "held", metav1.GetOptions{})
		c.must(err)
		p.Finalizers = nil
		if _, err := pods.Update(ctx, p, metav1.UpdateOptions{}); err != nil {
			return err
		}
		return nil
	})
	wait.For(c.t, "namespace gone", func() error {
		ns, err := c.CoreV1().Namespaces().Get(ctx, "lab", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, err, ns.Status)
	})
}
