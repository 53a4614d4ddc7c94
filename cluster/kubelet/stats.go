package kubelet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/hostinfo"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
)

func cpuStats(r *cgroup.Rates, key string, u cgroup.Usage) *stats.CPUStats {
	return &stats.CPUStats{Time: metav1.NewTime(u.Time), UsageCoreNanoSeconds: &u.CPUNanoseconds, UsageNanoCores: r.Cores(key, u)}
}

// memoryStats are those of a group; limit is 0 if it has none.
func memoryStats(u cgroup.Usage, limit uint64) *stats.MemoryStats {
	m := &stats.MemoryStats{
		Time: metav1.NewTime(u.Time), UsageBytes: &u.Memory, WorkingSetBytes: &u.WorkingSet, RSSBytes: &u.RSS,
		PageFaults: &u.PageFaults, MajorPageFaults: &u.MajorFaults,
	}
	if limit > 0 {
		free := limit - min(u.WorkingSet, limit)
		m.AvailableBytes = &free
	}
	return m
}

// Summary implements server.Usage.
func (s served) Summary(ctx context.Context) *stats.Summary {
	now, k := time.Now(), s.k
	node, own := k.nodeUsage(), hostinfo.OwnUsage()
	summary := &stats.Summary{Node: stats.NodeStats{
		NodeName: k.config.NodeName, StartTime: metav1.NewTime(k.started),
		CPU: cpuStats(&k.rates, "node", node), Memory: memoryStats(node, uint64(k.capacity.Memory().Value())),
		SystemContainers: []stats.ContainerStats{{
			Name: stats.SystemContainerKubelet, StartTime: metav1.NewTime(k.started),
			CPU: cpuStats(&k.rates, "kubelet", own), Memory: memoryStats(own, 0),
		}},
	}, Pods: []stats.PodStats{}}
	if fs, err := k.nodeFS(now); err == nil {
		summary.Node.Fs = fsStats(fs, now)
	}
	if fs, err := k.images.DiskUsage(ctx); err == nil {
		summary.Node.Runtime = &stats.RuntimeStats{ImageFs: fsStats(fs, now), ContainerFs: fsStats(fs, now)}
	}
	if most, running, err := hostinfo.Processes(); err == nil {
		summary.Node.Rlimit = &stats.RlimitStats{Time: metav1.NewTime(now), MaxPID: &most, NumOfRunningProcesses: &running}
	}
	for _, worker := range s.workers() {
		if pod, ok := podStats(worker, now, summary.Node.Fs); ok {
			summary.Pods = append(summary.Pods, pod)
		}
	}
	return summary
}

func fsStats(fs nodefs.FileSystem, now time.Time) *stats.FsStats {
	number := func(n int64) *uint64 { u := uint64(max(0, n)); return &u }
	return &stats.FsStats{
		Time: metav1.NewTime(now), AvailableBytes: number(fs.Available), CapacityBytes: number(fs.Capacity), UsedBytes: number(fs.Capacity - fs.Available),
		InodesFree: number(fs.InodesFree), Inodes: number(fs.Inodes), InodesUsed: number(fs.Inodes - fs.InodesFree),
	}
}

// usedStats are those of a part of a file system.
func usedStats(d nodefs.Usage, of *stats.FsStats, now time.Time) *stats.FsStats {
	out := &stats.FsStats{}
	if of != nil {
		*out = *of
	}
	bytes, inodes := uint64(d.Bytes), uint64(d.Inodes)
	out.Time, out.UsedBytes, out.InodesUsed = metav1.NewTime(now), &bytes, &inodes
	return out
}

// workers are those of pods of the API server, by name.
func (s served) workers() []*worker {
	all := slices.DeleteFunc(s.k.allWorkers(), func(w *worker) bool { return w.ref.Namespace == "" })
	slices.SortFunc(all, func(a, b *worker) int { return strings.Compare(a.ref.String(), b.ref.String()) })
	return all
}

// podStats is what a pod uses; false if no container of it runs.
func podStats(w *worker, now time.Time, fs *stats.FsStats) (stats.PodStats, bool) {
	list, group := w.published.get()
	if len(list) == 0 {
		return stats.PodStats{}, false
	}
	pod := w.latest()
	out := stats.PodStats{PodRef: stats.PodReference{Name: w.ref.Name, Namespace: w.ref.Namespace, UID: w.ref.UID}}
	if pod.Status.StartTime != nil {
		out.StartTime = *pod.Status.StartTime
	}
	rates := &w.k.rates
	if u, err := w.k.groups.Usage(group); group != "" && err == nil {
		out.CPU, out.Memory = cpuStats(rates, group, u), memoryStats(u, 0)
		out.ProcessStats = &stats.ProcessStats{ProcessCount: &u.Processes}
	}
	written := w.DiskUsage(now)
	disk := written.Files
	for _, c := range list {
		u, err := w.k.groups.Usage(c.group)
		if err != nil { // it has terminated meanwhile
			continue
		}
		layer, logs := w.k.measures.Of(c.Layer, now), w.k.measures.OfLog(c.LogPath, now)
		disk.Add(layer)
		disk.Add(logs)
		out.Containers = append(out.Containers, stats.ContainerStats{
			Name: c.Name, StartTime: metav1.NewTime(c.StartedAt), CPU: cpuStats(rates, c.group, u), Memory: memoryStats(u, memoryLimit(pod, c.Name)),
			Rootfs: usedStats(layer, fs, now), Logs: usedStats(logs, fs, now),
		})
	}
	for name, u := range written.Volumes {
		disk.Add(u)
		out.VolumeStats = append(out.VolumeStats, stats.VolumeStats{Name: name, FsStats: *usedStats(u, fs, now)})
	}
	slices.SortFunc(out.Containers, func(a, b stats.ContainerStats) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.VolumeStats, func(a, b stats.VolumeStats) int { return strings.Compare(a.Name, b.Name) })
	out.EphemeralStorage = usedStats(disk, fs, now)
	return out, true
}

func memoryLimit(pod *v1.Pod, container string) uint64 {
	if c := podspec.Container(pod, container); c != nil {
		return uint64(max(0, c.Resources.Limits.Memory().Value()))
	}
	return 0
}

// nodeFS returns the file system of the kubelet's directory.
func (k *Kubelet) nodeFS(now time.Time) (nodefs.FileSystem, error) {
	fs, err := nodefs.StatFS(k.config.RootDir)
	if err != nil {
		return fs, err
	}
	size, replaced := k.config.Capacity[v1.ResourceEphemeralStorage]
	if !replaced {
		return fs, nil
	}
	used := int64(0)
	for _, w := range k.allWorkers() {
		used += w.DiskUsage(now).Total().Bytes
	}
	fs.Capacity = size.Value()
	fs.Available = max(0, min(fs.Available, fs.Capacity-used))
	return fs, nil
}

// nodeUsage returns the usage of the node: of its pods and of the kubelet's process.
func (k *Kubelet) nodeUsage() cgroup.Usage {
	k.mu.Lock()
	group := k.podsGroup
	k.mu.Unlock()
	sum := cgroup.Usage{Time: time.Now()}
	if group != "" {
		if u, err := k.groups.Usage(group); err == nil {
			sum = u
		}
	}
	own := hostinfo.OwnUsage()
	sum.CPUNanoseconds += own.CPUNanoseconds
	sum.Memory += own.Memory
	sum.WorkingSet += own.WorkingSet
	sum.RSS += own.RSS
	sum.PageFaults += own.PageFaults
	sum.MajorFaults += own.MajorFaults
	sum.Processes++
	return sum
}

// family is one metric with its values.
type family struct {
	name, kind, help string
	lines            strings.Builder
}

func (f *family) add(labels, value string, at time.Time) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	stamp := ""
	if !at.IsZero() {
		stamp = fmt.Sprintf(" %d", at.UnixMilli())
	}
	fmt.Fprintf(&f.lines, "%s%s %s%s\n", f.name, labels, value, stamp)
}

// ResourceMetrics implements server.Usage.
func (s served) ResourceMetrics() string {
	k := s.k
	cpu := &family{name: "container_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the container in core-seconds"}
	memory := &family{name: "container_memory_working_set_bytes", kind: "gauge", help: "Current working set of the container in bytes"}
	start := &family{name: "container_start_time_seconds", kind: "gauge", help: "Start time of the container since unix epoch in seconds"}
	podCPU := &family{name: "pod_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the pod in core-seconds"}
	podMemory := &family{name: "pod_memory_working_set_bytes", kind: "gauge", help: "Current working set of the pod in bytes"}
	nodeCPU := &family{name: "node_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the node in core-seconds"}
	nodeMemory := &family{name: "node_memory_working_set_bytes", kind: "gauge", help: "Current working set of the node in bytes"}
	failed := &family{name: "resource_scrape_error", kind: "gauge", help: "1 if there was an error while getting container metrics, 0 otherwise"}

	both := func(c, m *family, labels string, u cgroup.Usage) {
		c.add(labels, fmt.Sprintf("%f", float64(u.CPUNanoseconds)/1e9), u.Time)
		m.add(labels, fmt.Sprint(u.WorkingSet), u.Time)
	}
	both(nodeCPU, nodeMemory, "", k.nodeUsage())
	for _, w := range s.workers() {
		list, group := w.published.get()
		pod := fmt.Sprintf("namespace=%q,pod=%q", w.ref.Namespace, w.ref.Name)
		if len(list) > 0 && group != "" {
			if u, err := k.groups.Usage(group); err == nil {
				both(podCPU, podMemory, pod, u)
			}
		}
		for _, c := range list {
			labels := fmt.Sprintf("container=%q,", c.Name) + pod
			u, err := k.groups.Usage(c.group)
			if err != nil { // it has terminated meanwhile
				continue
			}
			both(cpu, memory, labels, u)
			start.add(labels, fmt.Sprintf("%f", float64(c.StartedAt.UnixNano())/1e9), time.Time{})
		}
	}
	failed.add("", "0", time.Time{})
	var out strings.Builder
	for _, f := range []*family{cpu, memory, start, nodeCPU, nodeMemory, podCPU, podMemory, failed} {
		fmt.Fprintf(&out, "# HELP %s [STABLE] %s\n# TYPE %s %s\n%s", f.name, f.help, f.name, f.kind, f.lines.String())
	}
	return out.String()
}
