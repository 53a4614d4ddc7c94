package controller_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/wait"
)

func TestNamespace(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	ns := &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}}
	_, err := c.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	c.must(err)
	wait.For(c.t, "account and certificate", func() error {
		_, a := c.CoreV1().ServiceAccounts("lab").Get(ctx, "default", metav1.GetOptions{})
		m, b := c.CoreV1().ConfigMaps("lab").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		if a != nil || b != nil || m.Data["ca.crt"] != "PEM" {
			return wait.Seen(false, a, b)
		}
		return nil
	})
	// The account comes back when it is deleted.
	c.must(c.CoreV1().ServiceAccounts("lab").Delete(ctx, "default", metav1.DeleteOptions{}))
	wait.For(c.t, "account again", func() error {
		if _, err := c.CoreV1().ServiceAccounts("lab").Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		return nil
	})
	held, err := c.CoreV1().ConfigMaps("lab").Create(ctx, &v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.com/hold"}},
	}, metav1.CreateOptions{})
	c.must(err)
	_, err = c.CoreV1().Secrets("lab").Create(ctx, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, metav1.CreateOptions{})
	c.must(err)
	c.must(c.CoreV1().Namespaces().Delete(ctx, "lab", metav1.DeleteOptions{}))
	wait.For(c.t, "a condition that says what holds it", func() error {
		ns, err := c.CoreV1().Namespaces().Get(ctx, "lab", metav1.GetOptions{})
		c.must(err)
		for _, cond := range ns.Status.Conditions {
			if cond.Type == v1.NamespaceFinalizersRemaining && strings.Contains(cond.Message, "example.com/hold in 1 resource instances") {
				return nil
			}
		}
		return wait.Seen(false, ns.Status.Conditions)
	})
	held, err = c.CoreV1().ConfigMaps("lab").Get(ctx, held.Name, metav1.GetOptions{})
	c.must(err)
	held.Finalizers = nil
	_, err = c.CoreV1().ConfigMaps("lab").Update(ctx, held, metav1.UpdateOptions{})
	c.must(err)
	wait.For(c.t, "namespace gone", func() error {
		ns, err := c.CoreV1().Namespaces().Get(ctx, "lab", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return wait.Seen(false, err, ns.Status)
	})
	if _, err := c.CoreV1().Secrets("lab").Get(ctx, "s", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the secret is still there: %v", err)
	}
}

func TestSilentNode(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(cfg *controller.Config) {
		cfg.NodeGrace, cfg.EvictAfter, cfg.ClusterCIDR = time.Second, 500*time.Millisecond, "10.246.0.0/16"
	})
	ctx := t.Context()
	c.node("silent")
	c.service("web", map[string]string{"app": "web"})
	c.rc("web", 2, "web")
	c.expectAddresses("web", 2)
	c.node("alive")
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
			n, err := c.CoreV1().Nodes().Get(ctx, "alive", metav1.GetOptions{})
			if err != nil {
				return
			}
			n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}
			_, _ = c.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
		}
	}()
	wait.For(c.t, "not ready, tainted, with a network", func() error {
		n, err := c.CoreV1().Nodes().Get(ctx, "silent", metav1.GetOptions{})
		c.must(err)
		if len(n.Spec.Taints) != 2 || n.Status.Conditions[0].Status != v1.ConditionUnknown || n.Spec.PodCIDR != "10.246.0.0/24" {
			return wait.Seen(false, n.Spec, n.Status.Conditions)
		}
		return nil
	})
	wait.For(c.t, "replaced elsewhere", func() error {
		pods := c.pods("web")
		for _, p := range pods {
			if p.Spec.NodeName != "alive" {
				return wait.Seen(false, p.Name+" on "+p.Spec.NodeName)
			}
		}
		if len(pods) != 2 {
			return wait.Seen(false, len(pods))
		}
		return nil
	})
	c.expectAddresses("web", 2)
	if err := c.controls.Healthy(); err != nil {
		t.Errorf("healthy: %v", err)
	}
}

// What kubelets are asked to cache is in an annotation, and a value that is no number is replaced.
func TestNodesHaveATTL(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	nodes := c.CoreV1().Nodes()
	has := func(want string) {
		t.Helper()
		wait.For(t, "the annotation", func() error {
			n, err := nodes.Get(t.Context(), "n1", metav1.GetOptions{})
			c.must(err)
			if got, ok := n.Annotations["node.alpha.kubernetes.io/ttl"]; !ok || got != want {
				return wait.Seen(false, n.Annotations)
			}
			return nil
		})
	}
	c.node("n1")
	has("0")
	wait.For(t, "the annotation is changed", func() error {
		n, err := nodes.Get(t.Context(), "n1", metav1.GetOptions{})
		c.must(err)
		n.Annotations["node.alpha.kubernetes.io/ttl"] = "often"
		_, err = nodes.Update(t.Context(), n, metav1.UpdateOptions{})
		return err
	})
	has("0")
}

func TestCordonBecomesTaint(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	n := c.node("n1")
	for _, want := range []int{1, 0} {
		wait.For(c.t, "cordon", func() error {
			n, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			c.must(err)
			n.Spec.Unschedulable = want == 1
			if _, err := c.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{}); err != nil {
				return err
			}
			return nil
		})
		wait.For(c.t, fmt.Sprintf("%d taints", want), func() error {
			n, err := c.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			c.must(err)
			if len(n.Spec.Taints) != want {
				return wait.Seen(false, n.Spec.Taints)
			}
			return nil
		})
	}
}

// Controllers write to a new node at once, as upstream; its first status, which is a patch, meets no conflict.
func TestNodeSpeaksFirst(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(cfg *controller.Config) { cfg.ClusterCIDR, cfg.NodeMask = "10.246.0.0/16", 24 })
	ctx, nodes := t.Context(), c.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}, metav1.CreateOptions{})
	c.must(err)
	written := func(taints int) {
		t.Helper()
		wait.For(c.t, "what controllers write", func() error {
			n, err := nodes.Get(ctx, "fresh", metav1.GetOptions{})
			c.must(err)
			if n.Spec.PodCIDR == "" || n.Annotations[v1.ObjectTTLAnnotationKey] != "0" || len(n.Spec.Taints) != taints {
				return wait.Seen(false, n.Spec, n.Annotations)
			}
			return nil
		})
	}
	written(0)
	status := []byte(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
	if _, err := nodes.Patch(ctx, "fresh", types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		t.Errorf("the first status of a node: %v", err)
	}
	written(2)
}

func TestPodsOfAMissingNodeGo(t *testing.T) {
	t.Parallel()
	c := startCluster(t, func(cfg *controller.Config) { cfg.NodeGrace = 200 * time.Millisecond })
	ctx := t.Context()
	_, err := c.CoreV1().Pods("default").Create(ctx, &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "lost"}, Spec: v1.PodSpec{NodeName: "dead", Containers: container()},
	}, metav1.CreateOptions{})
	c.must(err)
	wait.Within(c.t, 40*time.Second, "gone", func() error {
		if _, err := c.CoreV1().Pods("default").Get(ctx, "lost", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return wait.Seen(false, "still there ", err)
		}
		return nil
	})
}

func TestLeaseTimes(t *testing.T) {
	t.Parallel()
	if err := controller.DefaultLeaseTimes.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []controller.LeaseTimes{{}, {Duration: 10, Deadline: 10, Retry: 1}, {Duration: 20, Deadline: 10, Retry: 9}, {Duration: 20, Deadline: 10}} {
		if bad.Check() == nil {
			t.Errorf("%+v are accepted", bad)
		}
	}
}

func TestLeaderElection(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	times := controller.LeaseTimes{Duration: time.Minute, Deadline: 40 * time.Second, Retry: 15 * time.Second}
	leader := controller.Leader{Name: "kube-controller-manager", Namespace: "default", Times: times}
	ctx, stop := context.WithCancel(t.Context())
	ended, leads := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- leader.Run(ctx, c, func(ctx context.Context) error { close(leads); <-ctx.Done(); return nil })
	}()
	holder := func() string {
		l, err := c.CoordinationV1().Leases("default").Get(t.Context(), leader.Name, metav1.GetOptions{})
		if err != nil || l.Spec.HolderIdentity == nil {
			return ""
		}
		if h := *l.Spec.HolderIdentity; h != "" && *l.Spec.LeaseDurationSeconds != 60 {
			t.Errorf("%s holds the lease for %d s", h, *l.Spec.LeaseDurationSeconds)
		}
		return *l.Spec.HolderIdentity
	}
	wait.For(c.t, "holds the lease", func() error {
		if holder() == "" {
			return wait.Seen(false, "no holder")
		}
		return nil
	})
	<-leads // the lease is written a moment before its holder starts to work
	stop()
	if err := <-ended; err != nil {
		t.Errorf("a leader that was asked to end: %v", err)
	}
	if h := holder(); h != "" {
		t.Errorf("%s still holds the lease after its end", h)
	}
}
