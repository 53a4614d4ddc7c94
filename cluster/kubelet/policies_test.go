//go:build !quick

package kubelet_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/cri"
)

// gate is policies that hold once asked for, and not at all for pods with the label refused.
type gate struct {
	runtime kubelet.Runtime

	mu    sync.Mutex
	asked map[string]string // by pod: its address, or what was wrong
}

func (g *gate) Starting(ctx context.Context, pod *v1.Pod, ip netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked[pod.Name] = ip.String()
	all, err := g.runtime.List(ctx, string(pod.UID))
	if err != nil || slices.ContainsFunc(all, func(c cri.Container) bool { return c.Name != cri.SandboxName && c.State != cri.Created }) {
		g.asked[pod.Name] = "its containers have been started"
	}
	if pod.Labels["refused"] != "" {
		return errors.New("no sets in this kernel")
	}
	return nil
}

// No container starts before policies hold for its pod; where they cannot, it does, with an event.
func TestContainersStartAfterPolicies(t *testing.T) {
	g := &gate{asked: map[string]string{}}
	n := newNodeWith(t, func(c *kubelet.Config) { g.runtime, c.Policies = c.Runtime, g })
	refused, own := pod("refused", "sleep 1000"), pod("own", "sleep 1000")
	refused.Labels = map[string]string{"refused": "yes"}
	own.Spec.HostNetwork = true
	n.create(pod("isolated", "sleep 1000"))
	n.create(refused)
	n.create(own)
	for _, name := range []string{"isolated", "refused", "own"} {
		p := n.wait(name, "Ready", isReady)
		want := p.Status.PodIP
		if name == "own" {
			want = ""
		}
		g.mu.Lock()
		if got := g.asked[name]; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		g.mu.Unlock()
	}
	const event = "Warning NetworkPolicyNotEnforced Containers start before network policies hold for the pod: no sets in this kernel"
	if got := strings.Count(n.events.String(), event); got != 1 {
		t.Errorf("%d events, want 1 in:\n%s", got, n.events)
	}
}
