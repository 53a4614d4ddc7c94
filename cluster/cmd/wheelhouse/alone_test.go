//go:build !quick

package main_test

import (
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/wait"
)

// Each part of the control plane runs as a process of its own; a scheduler that is
// killed is followed by the next one.
func TestPartsAlone(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	says := func(name string, want corev1.ConditionStatus, message string) {
		t.Helper()
		wait.Within(t, 25*time.Second, "componentstatuses", func() error { return componentSays(t, s, name, want, message) })
	}
	says("etcd-0", corev1.ConditionTrue, "health")
	says("scheduler", corev1.ConditionFalse, "no leader: lease kube-system/kube-scheduler does not exist yet")
	says("controller-manager", corev1.ConditionFalse, "no leader: lease kube-system/kube-controller-manager does not exist yet")

	start(t, "controller-manager", "--kubeconfig", s.kubeconfig, "--node-monitor-grace-period", "10m",
		"--service-account-private-key-file", filepath.Join(filepath.Dir(s.kubeconfig), "pki", "sa.key"))
	says("controller-manager", corev1.ConditionTrue, "ok")
	tokenAuthenticates(t, s, secretToken(t, s, "early"))
	addNode(t, s, "n1")
	addPod(t, s, pod("early", ""))
	always(t, time.Second, "a pod without a scheduler", func() error { return pending(t, s, "early") })

	first := start(t, "scheduler", "--kubeconfig", s.kubeconfig)
	addPod(t, s, pod("others", "other"))
	wait.Within(t, 10*time.Second, "the scheduler binds", func() error { return bound(t, s, "early") })
	says("scheduler", corev1.ConditionTrue, "ok")
	always(t, time.Second, "a pod for another scheduler", func() error { return pending(t, s, "others") })

	first.kill()
	other := start(t, "scheduler", "--kubeconfig", s.kubeconfig, "--scheduler-name", "other")
	addPod(t, s, pod("late", ""))
	wait.Within(t, 10*time.Second, "the other scheduler binds", func() error { return bound(t, s, "others") })
	always(t, time.Second, "a pod for the killed scheduler", func() error { return pending(t, s, "late") })
	other.kill()

	start(t, "scheduler", "--kubeconfig", s.kubeconfig)
	// The lease of the killed one has to run out first.
	says("scheduler", corev1.ConditionFalse, "has not renewed the lease kube-system/kube-scheduler for")
	wait.Within(t, 22*time.Second, "the next scheduler binds", func() error { return bound(t, s, "late") })
	says("scheduler", corev1.ConditionTrue, "ok")
}
