package controller_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/wait"
)

func TestDisruptionBudgets(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	budget := func(name, app string, edit func(*policy.PodDisruptionBudgetSpec)) {
		b := &policy.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}}
		b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
		edit(&b.Spec)
		_, err := c.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), b, metav1.CreateOptions{})
		c.must(err)
	}
	wanted := func(name string, expected, healthy, desired, allowed int32, reason string) {
		t.Helper()
		wait.For(c.t, name, func() error {
			b, err := c.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), name, metav1.GetOptions{})
			c.must(err)
			s := b.Status
			x := meta.FindStatusCondition(s.Conditions, policy.DisruptionAllowedCondition)
			if s.ExpectedPods != expected || s.CurrentHealthy != healthy || s.DesiredHealthy != desired || s.DisruptionsAllowed != allowed || x == nil || x.Reason != reason {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	half, one, two := intstr.FromString("50%"), intstr.FromInt32(1), intstr.FromInt32(2)
	c.deploy(makeDeployment("web", 4))
	c.rc("old", 3, "old")
	yes := true
	_, err := c.CoreV1().Pods("default").Create(t.Context(), &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "odd", Labels: map[string]string{"app": "odd"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: c.uidOf("n1"), Controller: &yes}},
		},
		Spec: v1.PodSpec{Containers: container()},
	}, metav1.CreateOptions{})
	c.must(err)
	for name, owner := range map[string]*metav1.OwnerReference{
		"bare": nil,
		// Its scale is asked of the server: another name of the kind than the one that is watched.
		"by-scale": {APIVersion: "extensions/v1beta1", Kind: "Deployment", Name: "web", UID: c.deployment("web").UID, Controller: &yes},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: v1.PodSpec{Containers: container()}}
		if owner != nil {
			p.OwnerReferences = []metav1.OwnerReference{*owner}
		}
		_, err := c.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
		c.must(err)
		budget(name, name, func(s *policy.PodDisruptionBudgetSpec) { s.MaxUnavailable = &one })
	}
	budget("half", "web", func(s *policy.PodDisruptionBudgetSpec) { s.MinAvailable = &half })
	budget("missing", "web", func(s *policy.PodDisruptionBudgetSpec) { s.MaxUnavailable = &one })
	budget("number", "old", func(s *policy.PodDisruptionBudgetSpec) { s.MinAvailable = &two })
	budget("nothing", "nothing", func(s *policy.PodDisruptionBudgetSpec) { s.MaxUnavailable = &one })
	budget("odd", "odd", func(s *policy.PodDisruptionBudgetSpec) { s.MaxUnavailable = &one })
	wanted("half", 4, 4, 2, 2, "SufficientPods")
	wanted("missing", 4, 4, 3, 1, "SufficientPods")
	wanted("number", 3, 3, 2, 1, "SufficientPods")
	wanted("nothing", 0, 0, 0, 0, "InsufficientPods")
	wanted("odd", 0, 0, 0, 0, "SyncFailed")
	wanted("bare", 0, 1, 0, 0, "InsufficientPods")
	wanted("by-scale", 4, 1, 3, 0, "InsufficientPods")
	c.told("bare", "controllermanager", "UnmanagedPods", "Pods selected by this PodDisruptionBudget (selector: app=bare) were found to be unmanaged.")
	c.told("nothing", "controllermanager", "NoPods", "No matching pods found")
	c.told("odd", "controllermanager", "CalculateExpectedPodCountFailed", "nodes does not implement the scale subresource")

	// In the middle of a rollout the pods of both sets count once for their Deployment.
	c.image("web", "nginx:2")
	c.rolled("web", 4)
	wanted("missing", 4, 4, 3, 1, "SufficientPods")
	c.patch("web", `{"spec":{"replicas":1}}`)
	wanted("half", 1, 1, 1, 0, "InsufficientPods")
}

func (c *testCluster) uidOf(node string) types.UID {
	c.t.Helper()
	n, err := c.CoreV1().Nodes().Get(c.t.Context(), node, metav1.GetOptions{})
	c.must(err)
	return n.UID
}
