package kubelet

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

const (
	evictionPeriod = 5 * time.Second
	evictionWait   = 30 * time.Second // for a pod to be gone, before another is evicted
	evictionGrace  = 1                // seconds, of a pod that is in the way at once
)

// eviction is why and how the node ends a pod.
type eviction struct {
	message string
	grace   int64 // seconds
}

// evict has the worker end its pod.
func (w *worker) evict(e eviction) {
	w.mu.Lock()
	if w.evicted == nil && w.pod.DeletionTimestamp == nil {
		w.evicted = &e
		if w.cancel != nil {
			w.cancel()
		}
	}
	w.mu.Unlock()
	w.notifyNow()
}

// obeyEviction has an evicted pod fail, with the condition that tells controllers that
// it was the node's doing. The pod is the step's own copy.
func (w *worker) obeyEviction(pod *v1.Pod) {
	w.mu.Lock()
	e := w.evicted
	w.mu.Unlock()
	if e == nil || pod.DeletionTimestamp != nil || podfacts.Terminal(pod) {
		return
	}
	if w.observed.Failed == nil {
		w.podEvent(v1.EventTypeWarning, evictedReason, e.message)
	}
	w.fail(evictedReason, e.message)
	pod.Spec.TerminationGracePeriodSeconds = &e.grace
	pod.Status.Conditions = slices.Clone(pod.Status.Conditions)
	podspec.SetCondition(&pod.Status, v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: evictedTerminating,
		Message: e.message, ObservedGeneration: pod.Generation,
	}, time.Now())
}

// refusePressed fails a pod that has come to a node in distress, before anything of it
// is started.
func (w *worker) refusePressed(pod *v1.Pod) {
	if w.finished || w.observed.Sandbox != nil || podfacts.Terminal(pod) || podfacts.Critical(pod) || pod.Status.StartTime != nil {
		return
	}
	conditions := w.k.Pressures()
	onlyMemory := len(conditions) == 1 && conditions[0] == v1.NodeMemoryPressure
	if len(conditions) == 0 || onlyMemory && (podfacts.QOSClass(pod) != v1.PodQOSBestEffort || toleratesMemoryPressure(pod)) {
		return
	}
	message := fmt.Sprintf("The node had condition: %v. ", conditions)
	w.podEvent(v1.EventTypeWarning, evictedReason, message)
	w.fail(evictedReason, message)
}

func toleratesMemoryPressure(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(t v1.Toleration) bool {
		if t.Effect != "" && t.Effect != v1.TaintEffectNoSchedule {
			return false
		}
		return t.Key == v1.TaintNodeMemoryPressure || t.Key == "" && t.Operator == v1.TolerationOpExists
	})
}

// Pressures implements node.Kubelet.
func (k *Kubelet) Pressures() []v1.NodeConditionType {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []v1.NodeConditionType
	for _, c := range []v1.NodeConditionType{v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure} {
		if k.pressure.has(&k.config.Eviction, c, time.Now()) {
			out = append(out, c)
		}
	}
	return out
}

// keepFree watches over what the node needs for itself and for all of its pods: where
// there is too little of something it first clears away what nobody uses, and then
// evicts pods, one at a time.
func (k *Kubelet) keepFree(ctx context.Context) {
	tick := time.NewTicker(evictionPeriod)
	defer tick.Stop()
	var victim *worker
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !k.informers.synced() {
			continue
		}
		k.evictOverLimits(time.Now())
		act := k.lookAround(ctx)
		if victim != nil {
			if list, _ := victim.shown.get(); len(list) > 0 && time.Since(since) < evictionWait {
				continue
			}
		}
		victim, since = k.relieve(ctx, act), time.Now()
	}
}

// relieve does what the thresholds call for, and tells whom it has evicted.
func (k *Kubelet) relieve(ctx context.Context, act []crossing) *worker {
	if len(act) == 0 {
		return nil
	}
	c := act[0]
	k.log.Warn("the node is short of something", "signal", c.Signal, "threshold", quantity(c.Signal, c.amount), "available", quantity(c.Signal, c.seen.Available))
	k.node.Event(v1.EventTypeWarning, "EvictionThresholdMet", fmt.Sprintf("Attempting to reclaim %s", signals[c.Signal].resource))
	if signals[c.Signal].condition == v1.NodeDiskPressure {
		k.clearUnused(ctx)
		again := k.lookAround(ctx)
		i := slices.IndexFunc(again, func(o crossing) bool { return o.Signal == c.Signal })
		if i < 0 {
			return nil
		}
		c = again[i]
	}
	pods, workers := k.candidates(signals[c.Signal].resource, time.Now())
	rank(pods, signals[c.Signal].resource)
	if len(pods) == 0 {
		return nil
	}
	first := pods[0]
	e := eviction{evictionMessage(c, first), evictionGrace}
	if !c.hard {
		e.grace = min(podspec.GracePeriod(first.pod), int64(k.config.Eviction.MaxPodGrace/time.Second))
	}
	w := workers[first.pod]
	w.evict(e)
	return w
}

// lookAround compares what the node sees of itself with the thresholds.
func (k *Kubelet) lookAround(ctx context.Context) []crossing {
	seen := k.config.Signals
	if seen == nil {
		seen = k.observeSignals
	}
	now := seen(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pressure.look(&k.config.Eviction, now, time.Now())
}

// candidates are the pods that may be evicted.
func (k *Kubelet) candidates(name v1.ResourceName, now time.Time) ([]*candidate, map[*v1.Pod]*worker) {
	var out []*candidate
	workers := map[*v1.Pod]*worker{}
	for _, w := range k.allWorkers() {
		w.mu.Lock()
		pod, evicted := w.pod, w.evicted != nil || w.removed
		w.mu.Unlock()
		if evicted || pod.DeletionTimestamp != nil || podfacts.Terminal(pod) || podfacts.Critical(pod) {
			continue
		}
		out = append(out, w.candidate(pod, name, now))
		workers[pod] = w
	}
	return out, workers
}

// candidate measures the pod.
func (w *worker) candidate(pod *v1.Pod, name v1.ResourceName, now time.Time) *candidate {
	c := &candidate{pod: pod, containers: map[string]int64{}}
	list, group := w.shown.get()
	if u, err := w.k.groups.Usage(group); group != "" && err == nil {
		c.memory, c.processes = int64(u.WorkingSet), int64(u.Processes)
	}
	if name == v1.ResourceMemory {
		for _, r := range list {
			if u, err := w.k.groups.Usage(r.group); err == nil {
				c.containers[r.Name] = int64(u.WorkingSet)
			}
		}
		return c
	}
	if name != v1.ResourceEphemeralStorage && name != "inodes" {
		return c
	}
	sum := w.fileUsage(now)
	for container, u := range w.containerUsage(now) {
		sum.Add(u)
		if name == v1.ResourceEphemeralStorage {
			c.containers[container] = u.Bytes
		}
	}
	for _, u := range w.volumes.Usage(pod, &w.k.measures, now) {
		sum.Add(u)
	}
	c.disk, c.inodes = sum.Bytes, sum.Inodes
	return c
}

// evictOverLimits evicts the pods that have written more than they may.
func (k *Kubelet) evictOverLimits(now time.Time) {
	for _, w := range k.allWorkers() {
		pod := w.latest()
		if podfacts.Terminal(pod) || !limitsDisk(pod) {
			continue
		}
		if message := overDiskLimit(pod, w.volumes.Usage(pod, &w.k.measures, now), w.containerUsage(now), w.fileUsage(now)); message != "" {
			w.evict(eviction{message, evictionGrace})
		}
	}
}
