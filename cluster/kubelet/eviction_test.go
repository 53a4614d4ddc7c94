//go:build !quick

package kubelet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/wait"
)

// A node that is short of memory evicts the pod that requests nothing, with an event, is
// under pressure, rejects the next of its kind, and recovers.
func TestEviction(t *testing.T) {
	var short atomic.Bool
	limits, err := eviction.Parse("memory.available<100Mi", "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	limits.Transition = 500 * time.Millisecond
	n := newNodeWith(t, func(c *kubelet.Config) {
		c.Eviction = limits
		c.Signals = func(context.Context) map[eviction.Signal]eviction.Observation {
			o := eviction.Observation{Available: 1 << 30, Capacity: 2 << 30}
			if short.Load() {
				o.Available = 50 << 20
			}
			return map[eviction.Signal]eviction.Observation{eviction.SignalMemory: o}
		}
	})
	modest := pod("modest", "trap exit TERM; sleep 1000 & wait")
	modest.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi")}
	n.create(modest)
	n.create(pod("hog", "trap exit TERM; sleep 1000 & wait"))
	n.wait("modest", "Ready", isReady)
	n.wait("hog", "Ready", isReady)
	short.Store(true)
	p := n.wait("hog", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if p.Status.Reason != "Evicted" || !strings.HasPrefix(p.Status.Message, "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main was using ") {
		t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
	}
	disrupted := false
	for _, c := range p.Status.Conditions {
		disrupted = disrupted || c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == "TerminationByKubelet"
	}
	if !disrupted {
		t.Errorf("conditions: %+v", p.Status.Conditions)
	}
	pressed := func(want v1.ConditionStatus) {
		t.Helper()
		wait.Within(t, patience, "MemoryPressure to be "+string(want), func() error {
			node, err := n.client.CoreV1().Nodes().Get(context.Background(), "node-1", metav1.GetOptions{})
			if err != nil {
				return wait.Seen(false, err)
			}
			for _, c := range node.Status.Conditions {
				if c.Type == v1.NodeMemoryPressure {
					return wait.Seen(c.Status == want, c)
				}
			}
			return wait.Seen(false, node.Status.Conditions)
		})
	}
	pressed(v1.ConditionTrue)
	n.create(pod("late", "sleep 1000"))
	p = n.wait("late", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if p.Status.Reason != "Evicted" || p.Status.Message != "The node had condition: [MemoryPressure]. " {
		t.Errorf("%s: %s", p.Status.Reason, p.Status.Message)
	}
	short.Store(false)
	pressed(v1.ConditionFalse)
	for _, want := range []string{"Warning EvictionThresholdMet Attempting to reclaim memory", "Warning Evicted The node was low on resource: memory."} {
		if !strings.Contains(n.events.String(), want) {
			t.Errorf("no event %q in:\n%s", want, n.events)
		}
	}
}

// The node reports what its containers use, from their control groups.
func TestSummary(t *testing.T) {
	n := newNode(t)
	p := pod("busy", "dd if=/dev/zero of=/file bs=1M count=3; while true; do :; done")
	p.Spec.Containers[0].Resources.Limits = v1.ResourceList{v1.ResourceMemory: resource.MustParse("64Mi"), v1.ResourceCPU: resource.MustParse("100m")}
	n.create(p)
	n.wait("busy", "Ready", isReady)
	wait.Within(t, patience, "figures of a busy container", func() error {
		var s stats.Summary
		code, body := n.get("/stats/summary")
		if err := json.Unmarshal([]byte(body), &s); err != nil || code != 200 || len(s.Pods) != 1 || len(s.Pods[0].Containers) != 1 {
			return wait.Seen(false, body)
		}
		c := s.Pods[0].Containers[0]
		ok := c.Name == "main" && s.Pods[0].PodRef.Name == "busy" && s.Node.NodeName == "node-1" && s.Node.Fs != nil && s.Node.Runtime != nil &&
			c.CPU != nil && c.CPU.UsageNanoCores != nil && *c.CPU.UsageNanoCores > 10_000_000 && *c.CPU.UsageCoreNanoSeconds > 0 &&
			c.Memory != nil && *c.Memory.WorkingSetBytes > 0 && *c.Memory.AvailableBytes < 64<<20 &&
			c.Rootfs != nil && *c.Rootfs.UsedBytes >= 3<<20 && c.Logs != nil && !c.StartTime.IsZero() &&
			s.Pods[0].CPU != nil && s.Node.CPU != nil && *s.Node.Memory.WorkingSetBytes >= *c.Memory.WorkingSetBytes
		return wait.Seen(ok, body)
	})
	_, body := n.get("/metrics/resource")
	for _, want := range []string{
		`container_cpu_usage_seconds_total{container="main",namespace="default",pod="busy"} `, `pod_memory_working_set_bytes{namespace="default",pod="busy"} `,
		"# TYPE container_start_time_seconds gauge", "node_cpu_usage_seconds_total ", "node_memory_working_set_bytes ", "resource_scrape_error 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in:\n%s", want, body)
		}
	}
}

// A node that is short of disk removes dead containers and the images that it has pulled
// itself and that no pod uses; other images are not its own to remove.
func TestClearUnused(t *testing.T) {
	var short atomic.Bool
	limits, err := eviction.Parse("nodefs.available<10%", "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	ctx := context.Background()
	// Images of their own: one that differs from BusyBox only by name is in use with it.
	name := func(part string) string { return fmt.Sprintf("wheelhouse/clear-test-%d:%s", os.Getpid(), part) }
	for _, part := range []string{"pulled", "built", "used"} {
		out, err := engine.ImageImport(ctx, image.ImportSource{Source: strings.NewReader(strings.Repeat("\x00", 1024)), SourceName: "-"}, name(part),
			image.ImportOptions{Message: part})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, out)
		if err := errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = engine.ImageRemove(ctx, name(part), image.RemoveOptions{}) })
	}
	n := newNodeWith(t, func(c *kubelet.Config) {
		c.Eviction = limits
		c.Signals = func(context.Context) map[eviction.Signal]eviction.Observation {
			o := eviction.Observation{Available: 50, Capacity: 100}
			if short.Load() {
				o.Available = 5
			}
			return map[eviction.Signal]eviction.Observation{eviction.SignalNodeFS: o}
		}
	})
	n.stop()
	old := time.Now().Add(-time.Hour)
	noted, err := json.Marshal(map[string]time.Time{name("pulled"): old, name("used"): old})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.root+"/pulled.json", noted, 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	waits := pod("waits", "")
	waits.Spec.Containers[0].Image, waits.Spec.Containers[0].Command = name("used"), []string{"/none"}
	waits.Spec.Priority = new(int32(2_000_000_000))
	n.create(waits)
	once := pod("once", "true")
	once.Spec.RestartPolicy = v1.RestartPolicyNever
	once = n.create(once)
	n.wait("once", "its end", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	short.Store(true)
	wait.Within(t, patience, "the pulled image and the dead container to go", func() error {
		_, err := n.runtime.Image(ctx, name("pulled"))
		left, listErr := n.runtime.List(ctx, string(once.UID))
		return wait.Seen(cri.IsNotFound(err) && listErr == nil && len(left) == 0, left)
	})
	for _, part := range []string{"built", "used"} {
		if _, err := n.runtime.Image(ctx, name(part)); err != nil {
			t.Errorf("%s: %v", part, err)
		}
	}
}
