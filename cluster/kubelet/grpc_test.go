//go:build !quick

package kubelet_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// A container that answers gRPC health checks is started, ready and alive by its answers.
func TestGRPCProbes(t *testing.T) {
	n := newNode(t)
	if err := os.MkdirAll(n.root+"/disk/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", n.root+"/disk/bin/health", "./testdata/health")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ask := func(service string) *v1.Probe {
		return &v1.Probe{PeriodSeconds: 1, FailureThreshold: 30, ProbeHandler: v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: 5000, Service: &service}}}
	}
	p := pod("grpc", "exec /bin-of-node/health")
	mounted(p, "bin", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/bin"}}, v1.VolumeMount{MountPath: "/bin-of-node"})
	c := &p.Spec.Containers[0]
	c.StartupProbe, c.ReadinessProbe, c.LivenessProbe = ask(""), ask("gate"), ask("")
	n.create(p)
	p = n.wait("grpc", "started, not ready", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].Started != nil && *s[0].Started && !s[0].Ready
	})
	n.saysAll(`Warning Unhealthy Readiness probe failed: service unhealthy (responded with "NOT_SERVING")`)
	if code, err := n.runtime.Exec(context.Background(), containerID(p), []string{"touch", "/tmp/open"}, discard); err != nil || code != 0 {
		t.Fatal(code, err)
	}
	n.wait("grpc", "Ready", isReady)
	n.delete("grpc")
}
