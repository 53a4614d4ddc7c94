package scheduler_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

func withPriority(n int32) func(*v1.Pod) { return func(p *v1.Pod) { p.Spec.Priority = &n } }

// TestVictimsKeepTheirGracePeriod: a victim with a grace period gets a condition with the
// reason, the pod's place is reserved meanwhile, no other pod is preempted, and the pod is
// bound when the victim is gone.
func TestVictimsKeepTheirGracePeriod(t *testing.T) {
	w := start(t, "")
	w.node("n", "2")
	w.pod("low", cpu("1500m"), func(p *v1.Pod) { p.Finalizers = []string{"example.com/slow"} })
	w.pod("small", cpu("400m"))
	w.expectOn("low", "n")
	w.expectOn("small", "n")
	w.pod("high", cpu("1600m"), withPriority(1000))
	w.expectRefused("high", "0/1 nodes are available: 1 Insufficient cpu.")
	wait.For(w.t, "the condition of low has the reason", func() error {
		p := w.get("low")
		if p.DeletionTimestamp != nil {
			for _, c := range p.Status.Conditions {
				if c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == "PreemptionByScheduler" &&
					c.Message == "default-scheduler: preempting to accommodate a higher priority pod" {
					return nil
				}
			}
		}
		return wait.Seen(false, p.DeletionTimestamp, p.Status.Conditions)
	})
	high := w.get("high")
	w.expectEvent("low", "Preempted", fmt.Sprintf("Preempted by pod %s on node n", high.UID))
	wait.For(w.t, "a place for high", func() error {
		if got := w.get("high").Status.NominatedNodeName; got != "n" {
			return wait.Seen(false, "nominated: "+got)
		}
		return nil
	})
	// It fits beside what is there, but not beside high.
	w.pod("late", cpu("50m"))
	w.expectRefused("late", "0/1 nodes are available: 1 Insufficient cpu.")
	if p := w.get("small"); p.DeletionTimestamp != nil {
		t.Error("small was preempted too")
	}
	low := w.get("low")
	low.Finalizers = nil
	if _, err := w.CoreV1().Pods("default").Update(t.Context(), low, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	if err := w.CoreV1().Pods("default").Delete(t.Context(), "low", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	w.expectOn("high", "n")
}

func TestNeverPreempts(t *testing.T) {
	w := start(t, "")
	w.node("n", "1")
	w.pod("low", cpu("800m"))
	w.expectOn("low", "n")
	w.pod("polite", cpu("800m"), withPriority(1000), func(p *v1.Pod) {
		never := v1.PreemptNever
		p.Spec.PreemptionPolicy = &never
	})
	w.expectRefused("polite", "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.")
	if p := w.get("low"); p.DeletionTimestamp != nil {
		t.Error("low was ended")
	}
}
