//go:build !quick

package kubelet_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/wait"
)

// dashboards are the metrics that dashboards and alerts read of one part of a node. Those of the
// program's other parts are tested with it.
func dashboards(t *testing.T, part string) (names []string) {
	t.Helper()
	text, err := os.ReadFile("../testdata/dashboard-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n["+part+"]\n")
	if !found {
		t.Fatalf("no section %s", part)
	}
	section, _, _ = strings.Cut(section, "\n\n")
	for line := range strings.Lines(section) {
		name := strings.TrimSpace(line)
		other := regexp.MustCompile(`^(kubeproxy_|rest_client_|kubelet_certificate_manager_|kubelet_server_expiration_|kubernetes_build_info$)`)
		if strings.Contains(name, ": ") || other.MatchString(name) {
			continue
		}
		names = append(names, name)
	}
	return names
}

// claimed makes a claim that is bound to a directory of the node.
func claimed(t *testing.T, n *testNode) v1.VolumeSource {
	t.Helper()
	ctx := t.Context()
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Spec: v1.PersistentVolumeSpec{
		ClaimRef:               &v1.ObjectReference{Namespace: "default", Name: "claim", UID: "claim-uid"},
		PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/data", Type: ptr.To(v1.HostPathDirectoryOrCreate)}},
	}}
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "claim", UID: "claim-uid"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "pv"}, Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
	}
	if _, err := n.client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.client.CoreV1().PersistentVolumeClaims("default").Create(ctx, claim, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}
}

// TestMetricsOfDashboards: a node has what dashboards ask it for, with the labels of its pods and
// containers; a probe that ends takes its metrics along.
func TestMetricsOfDashboards(t *testing.T) {
	n := newNode(t)
	p := pod("measured", "trap exit TERM; sleep 1000 & wait")
	p.Spec.Containers[0].ReadinessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"true"}}}, PeriodSeconds: 1}
	p.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: claimed(t, n)}}
	p.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{{Name: "data", MountPath: "/data"}}
	n.create(p)
	n.wait("measured", "Ready", isReady)
	for path, part := range map[string]string{"/metrics": "kubelet", "/metrics/cadvisor": "cadvisor"} {
		wait.Within(t, patience, "all metrics of "+path, func() error {
			code, text := n.get(path)
			for _, name := range dashboards(t, part) {
				if !strings.Contains(text, "\n# TYPE "+name+" ") {
					return wait.Seen(false, code, name)
				}
			}
			return nil
		})
	}
	_, text := n.get("/metrics/cadvisor")
	for _, want := range []string{
		`namespace="default",pod="measured"} `, `container_memory_working_set_bytes{container="main",id="/`,
		`container_network_receive_bytes_total{container="",id="/`, `container_cpu_usage_seconds_total{container="",id="/",image="",name="",namespace="",pod=""} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	const probed = `prober_probe_total{container="main",namespace="default",pod="measured",pod_uid=`
	wait.Within(t, patience, "the probe's metrics", func() error {
		_, text := n.get("/metrics/probes")
		return wait.Seen(strings.Contains(text, probed) && strings.Contains(text, `result="successful"`) && strings.Contains(text, "prober_probe_duration_seconds_count"), text)
	})
	n.delete("measured")
	wait.Within(t, patience, "no metrics of a probe that has ended", func() error {
		_, text := n.get("/metrics/probes")
		return wait.Seen(!strings.Contains(text, `pod="measured"`), text)
	})
}
