//go:build !quick

package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// dashboards are the metrics that dashboards and alerts read of one part of a cluster.
func dashboards(t *testing.T, part string) (names []string) {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(filepath.Join("..", "..", "testdata", "dashboard-metrics.txt")))
	_, section, found := bytes.Cut(text, []byte("\n["+part+"]\n"))
	if !found {
		t.Fatalf("no section %s", part)
	}
	section, _, _ = bytes.Cut(section, []byte("\n\n"))
	for line := range strings.Lines(string(section)) {
		if name := strings.TrimSpace(line); !strings.Contains(name, ": ") {
			names = append(names, name)
		}
	}
	return names
}

// terminations has no value before the first request that the server rejects to protect itself.
const terminations = "apiserver_request_terminations_total"

// TestMetricsOfDashboards: the server has what dashboards ask the API server, the scheduler and the
// controllers for, with the labels by which they select.
func TestMetricsOfDashboards(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir())
	ctx := t.Context()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{
		Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10")},
	}}
	must[*corev1.Node](t)(s.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}))
	must[*corev1.Node](t)(s.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}))
	for path, want := range map[string]string{"/statusz": "kube-apiserver statusz\n", "/flagz": "\nnode-monitor-grace-period=10m0s\n", "/debug/pprof/": "goroutine"} {
		if text := string(must[[]byte](t)(s.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx))); !strings.Contains(text, want) {
			t.Errorf("%s: no %q in %s", path, want, text)
		}
	}
	makeSecrets(t, s, "a", 1)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	wait.For(t, "the namespace's account", func() error {
		_, err := s.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	lines := []string{
		`apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_request_sli_duration_seconds_bucket{component="apiserver",group="",resource="secrets",scope="resource",subresource="",verb="POST",version="v1",le="1"} 1`,
		`scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1`,
		`scheduler_pending_pods{queue="active"} 0`,
		`workqueue_depth{name="`,
		`kubernetes_build_info{`,
	}
	wait.For(t, "all metrics", func() error {
		text := string(must[[]byte](t)(s.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)))
		for _, name := range dashboards(t, "server") {
			if name != terminations && !strings.Contains(text, "\n# TYPE "+name+" ") {
				return wait.Seen(false, name)
			}
		}
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				return wait.Seen(false, line)
			}
		}
		return nil
	})
}
