package controller_test

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/wait"
)

func TestReplicationController(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.node("n2")
	ctx := t.Context()

	// A pod that is there already is adopted, and only one more is made.
	_, err := c.CoreV1().Pods("default").Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: map[string]string{"app": "web"}},
		Spec:       v1.PodSpec{Containers: container()},
	}, metav1.CreateOptions{})
	c.must(err)
	c.rc("web", 2, "web")
	status := func(want int32) func() error {
		return func() error {
			rc, err := c.CoreV1().ReplicationControllers("default").Get(ctx, "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if s := rc.Status; s.Replicas != want || s.ReadyReplicas != want || s.AvailableReplicas != want || s.ObservedGeneration != rc.Generation || len(c.pods("web")) != int(want) {
				return fmt.Errorf("%d pods, status %+v", len(c.pods("web")), s)
			}
			return nil
		}
	}
	wait.For(c.t, "two ready", status(2))
	mine, err := c.CoreV1().Pods("default").Get(ctx, "mine", metav1.GetOptions{})
	c.must(err)
	if ref := metav1.GetControllerOf(mine); ref == nil || ref.Name != "web" {
		t.Errorf("not adopted: %v", mine.OwnerReferences)
	}

	// A relabelled pod leaves and is replaced.
	_, err = c.CoreV1().Pods("default").Patch(ctx, "mine", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"debug"}}}`), metav1.PatchOptions{})
	c.must(err)
	wait.For(c.t, "replaced", status(2))
	wait.For(c.t, "released", func() error {
		mine, err := c.CoreV1().Pods("default").Get(ctx, "mine", metav1.GetOptions{})
		c.must(err)
		if len(mine.OwnerReferences) > 0 {
			return wait.Seen(false, mine.OwnerReferences)
		}
		return nil
	})

	for _, n := range []int32{5, 1} {
		_, err = c.CoreV1().ReplicationControllers("default").Patch(ctx, "web", types.MergePatchType,
			[]byte(fmt.Sprintf(`{"spec":{"replicas":%d}}`, n)), metav1.PatchOptions{})
		c.must(err)
		wait.For(c.t, fmt.Sprintf("scaled to %d", n), status(n))
		if n == 5 {
			on := map[string]int{}
			for _, p := range c.pods("web") {
				on[p.Spec.NodeName]++
			}
			if on["n1"] < 2 || on["n2"] < 2 {
				t.Errorf("five replicas should spread over two nodes: %v", on)
			}
		}
	}

	// A deleted pod is replaced; a deleted controller takes its pods along.
	c.must(c.CoreV1().Pods("default").Delete(ctx, c.pods("web")[0].Name, metav1.DeleteOptions{}))
	wait.For(c.t, "healed", status(1))
	background := metav1.DeletePropagationBackground
	c.must(c.CoreV1().ReplicationControllers("default").Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: &background}))
	wait.For(c.t, "pods gone", func() error {
		if n := len(c.pods("web")); n > 0 {
			return wait.Seen(false, n, " pods")
		}
		return nil
	})
	if _, err := c.CoreV1().Pods("default").Get(ctx, "mine", metav1.GetOptions{}); err != nil {
		t.Errorf("the released pod should stay: %v", err)
	}
}

func TestDeletionPolicies(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	ctx := t.Context()
	remove := func(name string, p metav1.DeletionPropagation) {
		c.must(c.CoreV1().ReplicationControllers("default").Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &p}))
		wait.For(c.t, name+" gone", func() error {
			rc, err := c.CoreV1().ReplicationControllers("default").Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("%v, finalizers %v, %d pods", err, rc.Finalizers, len(c.pods(name)))
		})
	}
	for _, name := range []string{"orphan", "foreground"} {
		c.rc(name, 3, name)
		wait.For(c.t, "three pods", func() error {
			if n := len(c.pods(name)); n != 3 {
				return wait.Seen(false, n)
			}
			return nil
		})
	}
	remove("foreground", metav1.DeletePropagationForeground)
	if n := len(c.pods("foreground")); n != 0 {
		t.Errorf("the controller went before %d of its pods", n)
	}
	remove("orphan", metav1.DeletePropagationOrphan)
	pods := c.pods("orphan")
	if len(pods) != 3 {
		t.Errorf("%d orphans, want 3", len(pods))
	}
	for _, p := range pods {
		if len(p.OwnerReferences) > 0 {
			t.Errorf("%s still has an owner: %v", p.Name, p.OwnerReferences)
		}
	}

	// A dependent whose owner never was.
	_, err := c.CoreV1().ConfigMaps("default").Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "lost", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "never", UID: "0-0"}},
	}}, metav1.CreateOptions{})
	c.must(err)
	wait.For(c.t, "collected", func() error {
		if _, err := c.CoreV1().ConfigMaps("default").Get(ctx, "lost", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return wait.Seen(false, "still there, ", err)
		}
		return nil
	})
}

// BenchmarkReplicas is a controller of 1,000 until all its pods exist, and until
// all have a node, of 20.
func BenchmarkReplicas(b *testing.B) {
	c := startCluster(b)
	for i := range 20 {
		c.node(fmt.Sprint("n", i))
	}
	for i := 0; b.Loop(); i++ {
		name := fmt.Sprint("many-", i)
		began := time.Now()
		c.rc(name, 1000, name)
		var exist, bound time.Duration
		wait.Within(c.t, time.Minute, "bound", func() error {
			pods := c.pods(name)
			n := 0
			for _, p := range pods {
				if p.Spec.NodeName != "" {
					n++
				}
			}
			if exist == 0 && len(pods) == 1000 {
				exist = time.Since(began)
			}
			bound = time.Since(began)
			if n == 1000 {
				return nil
			}
			return fmt.Errorf("%d pods, %d bound", len(pods), n)
		})
		b.ReportMetric(exist.Seconds(), "s/exist")
		b.ReportMetric(bound.Seconds(), "s/bound")
	}
}
