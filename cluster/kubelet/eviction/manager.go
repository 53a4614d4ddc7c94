package eviction

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

const (
	period      = 5 * time.Second
	victimWait  = 30 * time.Second // for what a pod held to be free, before another is evicted; as upstream
	gracePeriod = 1                // seconds, of a pod that is evicted at once
)

// Node is the node that is kept usable.
type Node interface {
	// Observe returns the present values of the signals.
	Observe(ctx context.Context) map[Signal]Observation
	// Reclaim removes what no pod uses from the node's disks.
	Reclaim(ctx context.Context)
	// Event records an event of the node.
	Event(kind, reason, message string)
}

// Pods are the pods of the node.
type Pods interface {
	// Evictable returns the pods that have workers; false while not all are known.
	Evictable() ([]Pod, bool)
}

// Pod is a pod of the node.
type Pod struct {
	*v1.Pod
	Worker    Worker
	Reclaimed bool // it has been evicted: its containers have ended, its volumes are gone
	Removed   bool // it is evicted already, or no longer at the API server
}

// Worker runs a pod.
type Worker interface {
	// Usage returns the working set and the processes of the pod, and the working sets of
	// its containers.
	Usage() (memory, processes int64, containers map[string]int64)
	DiskUsage(now time.Time) DiskUsage
	// Evict terminates the pod with a grace period in seconds.
	Evict(message string, grace int64)
}

// Manager evicts the pods of a node.
type Manager struct {
	config Config
	node   Node
	pods   Pods
	log    *slog.Logger

	mu       sync.Mutex
	pressure *pressure
}

// NewManager returns a manager; Run starts it.
func NewManager(c Config, node Node, pods Pods, log *slog.Logger) *Manager {
	return &Manager{config: c, node: node, pods: pods, log: log, pressure: newPressure()}
}

// Run is the eviction loop; it returns when ctx is done.
func (m *Manager) Run(ctx context.Context) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	var last victim
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last = m.look(ctx, last, time.Now())
	}
}

// victim is a pod that was evicted; its uid is empty if none was.
type victim struct {
	uid   types.UID
	since time.Time
}

// look evicts the pods that exceed their own limits, and one more while an eviction threshold is
// met, unless what the last one held is not yet free.
func (m *Manager) look(ctx context.Context, last victim, now time.Time) victim {
	pods, synced := m.pods.Evictable()
	if !synced {
		return last
	}
	evictOverLimits(pods, now)
	met := m.evaluateThresholds(ctx)
	ending := func(p Pod) bool { return p.UID == last.uid && !p.Reclaimed }
	if slices.ContainsFunc(pods, ending) && now.Sub(last.since) < victimWait {
		return last
	}
	return victim{m.reclaim(ctx, met), now}
}

// Pressures returns the pressure conditions of the node.
func (m *Manager) Pressures() []v1.NodeConditionType {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []v1.NodeConditionType
	for _, c := range []v1.NodeConditionType{v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure} {
		if m.pressure.has(&m.config, c, time.Now()) {
			out = append(out, c)
		}
	}
	return out
}

// Reject returns upstream's message about a pod that the node must not start under pressure;
// empty if it may.
func (m *Manager) Reject(pod *v1.Pod) string {
	conditions := m.Pressures()
	onlyMemory := len(conditions) == 1 && conditions[0] == v1.NodeMemoryPressure
	if len(conditions) == 0 || podfacts.Critical(pod) || onlyMemory && (podfacts.QOSClass(pod) != v1.PodQOSBestEffort || toleratesMemoryPressure(pod)) {
		return ""
	}
	return fmt.Sprintf("The node had condition: %v. ", conditions)
}

func toleratesMemoryPressure(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(t v1.Toleration) bool {
		if t.Effect != "" && t.Effect != v1.TaintEffectNoSchedule {
			return false
		}
		return t.Key == v1.TaintNodeMemoryPressure || t.Key == "" && t.Operator == v1.TolerationOpExists
	})
}

// evaluateThresholds compares the node's signals with the thresholds.
func (m *Manager) evaluateThresholds(ctx context.Context) []met {
	signals := m.node.Observe(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pressure.evaluateThresholds(&m.config, signals, time.Now())
}

// reclaim reclaims what the first threshold is about, and returns the pod that it evicts.
func (m *Manager) reclaim(ctx context.Context, all []met) types.UID {
	if len(all) == 0 {
		return ""
	}
	t := all[0]
	about := signals[t.Signal]
	m.log.Warn("eviction threshold met", "signal", t.Signal, "threshold", quantity(t.Signal, t.amount), "available", quantity(t.Signal, t.now.Available))
	m.node.Event(v1.EventTypeWarning, "EvictionThresholdMet", fmt.Sprintf("Attempting to reclaim %s", about.resource))
	if about.condition == v1.NodeDiskPressure {
		m.node.Reclaim(ctx)
		again := m.evaluateThresholds(ctx)
		i := slices.IndexFunc(again, func(o met) bool { return o.Signal == t.Signal })
		if i < 0 {
			return ""
		}
		t = again[i]
	}
	pods, _ := m.pods.Evictable()
	candidates := candidates(pods, about.resource, time.Now())
	if len(candidates) == 0 {
		return ""
	}
	rank(candidates, about.resource)
	victim, grace := candidates[0], int64(gracePeriod)
	if !t.hard {
		grace = min(podspec.GracePeriod(victim.Pod.Pod), int64(m.config.MaxPodGrace/time.Second))
	}
	victim.Worker.Evict(evictionMessage(t, victim), grace)
	evictions.WithLabelValues(string(t.Signal)).Inc()
	return victim.UID
}

// candidates returns the pods that may be evicted, with their usage of a resource.
func candidates(pods []Pod, name v1.ResourceName, now time.Time) []*candidate {
	var out []*candidate
	for _, p := range pods {
		if !p.Removed && podfacts.Active(p.Pod) && !podfacts.Critical(p.Pod) {
			out = append(out, measure(p, name, now))
		}
	}
	return out
}

// evictOverLimits evicts the pods that have written more than they may.
func evictOverLimits(pods []Pod, now time.Time) {
	for _, p := range pods {
		if podfacts.Terminal(p.Pod) || !limitsDisk(p.Pod) {
			continue
		}
		if message := overDiskLimit(p.Pod, p.Worker.DiskUsage(now)); message != "" {
			p.Worker.Evict(message, gracePeriod)
		}
	}
}
