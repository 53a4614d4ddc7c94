package kubelet

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/hostinfo"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
)

// Reasons of evictions, as upstream.
const (
	evictedReason      = "Evicted"
	evictedTerminating = "TerminationByKubelet"
)

// evicting is the kubelet as evictions use it: it implements eviction.Node and eviction.Pods.
type evicting struct{ *Kubelet }

// Event implements eviction.Node.
func (k evicting) Event(kind, reason, message string) { k.node.Event(kind, reason, message) }

// Evictable implements eviction.Pods.
func (k evicting) Evictable() (out []eviction.Pod, synced bool) {
	for _, w := range k.allWorkers() {
		w.mu.Lock()
		out = append(out, eviction.Pod{Pod: w.pod, Worker: w, Reclaimed: w.retired, Removed: w.evicted != nil || w.removed})
		w.mu.Unlock()
	}
	return out, k.informers.Synced()
}

// Evict implements eviction.Worker.
func (w *worker) Evict(message string, grace int64) {
	w.mu.Lock()
	if w.evicted == nil && w.pod.DeletionTimestamp == nil {
		w.evicted = &evicted{message, grace}
		if w.cancel != nil {
			w.cancel()
		}
	}
	w.mu.Unlock()
	w.notifyNow()
}

// applyEviction fails an evicted pod, with the condition by which controllers see that the
// node has evicted it. The pod is the step's own copy.
func (w *worker) applyEviction(pod *v1.Pod) {
	w.mu.Lock()
	e := w.evicted
	w.mu.Unlock()
	if e == nil || !podfacts.Active(pod) {
		return
	}
	if w.observed.Failed == nil {
		w.PodEvent(v1.EventTypeWarning, evictedReason, e.message)
	}
	w.fail(evictedReason, e.message)
	pod.Spec.TerminationGracePeriodSeconds = &e.grace
	pod.Status.Conditions = slices.Clone(pod.Status.Conditions)
	podspec.SetCondition(&pod.Status, v1.PodCondition{
		Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: evictedTerminating,
		Message: e.message, ObservedGeneration: pod.Generation,
	}, time.Now())
}

// rejectUnderPressure fails a pod that has come to a node under pressure, before any of its
// containers is started.
func (w *worker) rejectUnderPressure(pod *v1.Pod) {
	if w.finished || w.observed.Sandbox != nil || podfacts.Terminal(pod) || pod.Status.StartTime != nil {
		return
	}
	if message := w.k.eviction.Reject(pod); message != "" {
		w.PodEvent(v1.EventTypeWarning, evictedReason, message)
		w.fail(evictedReason, message)
	}
}

// Usage implements eviction.Worker.
func (w *worker) Usage() (memory, processes int64, containers map[string]int64) {
	list, group := w.published.get()
	if u, err := w.k.groups.Usage(group); group != "" && err == nil {
		memory, processes = int64(u.WorkingSet), int64(u.Processes)
	}
	containers = map[string]int64{}
	for _, r := range list {
		if u, err := w.k.groups.Usage(r.group); err == nil {
			containers[r.Name] = int64(u.WorkingSet)
		}
	}
	return memory, processes, containers
}

// DiskUsage implements eviction.Worker. It includes the files that the kubelet gives to the
// pod's containers, as they can write to them (CVE-2020-8557).
func (w *worker) DiskUsage(now time.Time) eviction.DiskUsage {
	cache := &w.k.measures
	out := eviction.DiskUsage{Volumes: w.volumes.Usage(w.latest(), cache, now), Containers: map[string]nodefs.Usage{}}
	list, _ := w.published.get()
	for _, c := range list {
		sum := cache.Of(c.Layer, now)
		sum.Add(cache.OfLog(c.LogPath, now))
		out.Containers[c.Name] = sum
	}
	for _, dir := range []string{"etc", "containers"} {
		out.Files.Add(cache.Of(filepath.Join(w.dir, dir), now))
	}
	return out
}

// Reclaim implements eviction.Node.
func (k evicting) Reclaim(ctx context.Context) {
	all, err := k.runtime.Glance(ctx)
	err = errors.Join(err, k.removeDead(ctx, all, 0), k.images.RemoveUnused(ctx))
	if err != nil && ctx.Err() == nil {
		k.log.Warn("remove what is not used", "err", err)
	}
}

// Observe implements eviction.Node. On a node that is configured to be smaller than its
// machine, available is what its own pods leave of its size, and never more than the
// machine has.
func (k evicting) Observe(ctx context.Context) map[eviction.Signal]eviction.Observation {
	if k.config.Signals != nil {
		return k.config.Signals(ctx)
	}
	out := map[eviction.Signal]eviction.Observation{}
	put := func(signal eviction.Signal, available, capacity int64) {
		if capacity > 0 { // some file systems have no fixed number of inodes
			out[signal] = eviction.Observation{Available: max(0, available), Capacity: capacity}
		}
	}
	if available, err := hostinfo.MemoryAvailable(); err == nil {
		capacity := k.capacity.Memory().Value()
		put(eviction.SignalMemory, min(available, capacity-int64(k.nodeUsage().WorkingSet)), capacity)
	}
	if fs, err := k.nodeFS(time.Now()); err == nil {
		put(eviction.SignalNodeFS, fs.Available, fs.Capacity)
		put(eviction.SignalNodeFSInodes, fs.InodesFree, fs.Inodes)
	}
	if fs, err := k.images.DiskUsage(ctx); err == nil {
		put(eviction.SignalImageFS, fs.Available, fs.Capacity)
		put(eviction.SignalImageFSInodes, fs.InodesFree, fs.Inodes)
	}
	if most, now, err := hostinfo.Processes(); err == nil {
		put(eviction.SignalPID, most-now, most)
	}
	return out
}
