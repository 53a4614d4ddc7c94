package kubelet

import (
	"context"
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

func (r *rates) cpu(key string, u cgroup.Usage) *stats.CPUStats {
	return &stats.CPUStats{Time: metav1.NewTime(u.Time), UsageCoreNanoSeconds: &u.CPUNanoseconds, UsageNanoCores: r.cores(key, u)}
}

// memory of a group; limit is 0 if it has none.
func memory(u cgroup.Usage, limit uint64) *stats.MemoryStats {
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
		CPU: k.rates.cpu("node", node), Memory: memory(node, uint64(k.capacity.Memory().Value())),
		SystemContainers: []stats.ContainerStats{{
			Name: stats.SystemContainerKubelet, StartTime: metav1.NewTime(k.started),
			CPU: k.rates.cpu("kubelet", own), Memory: memory(own, 0),
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

// used is a part of a file system.
func used(d nodefs.Usage, of *stats.FsStats, now time.Time) *stats.FsStats {
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
		out.CPU, out.Memory = rates.cpu(group, u), memory(u, 0)
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
			Name: c.Name, StartTime: metav1.NewTime(c.StartedAt), CPU: rates.cpu(c.group, u), Memory: memory(u, memoryLimit(pod, c.Name)),
			Rootfs: used(layer, fs, now), Logs: used(logs, fs, now),
		})
	}
	for name, u := range written.Volumes {
		disk.Add(u)
		out.VolumeStats = append(out.VolumeStats, stats.VolumeStats{Name: name, FsStats: *used(u, fs, now)})
	}
	slices.SortFunc(out.Containers, func(a, b stats.ContainerStats) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.VolumeStats, func(a, b stats.VolumeStats) int { return strings.Compare(a.Name, b.Name) })
	out.EphemeralStorage = used(disk, fs, now)
	return out, true
}

func memoryLimit(pod *v1.Pod, container string) uint64 {
	if c := podspec.Container(pod, container); c != nil {
		return uint64(max(0, c.Resources.Limits.Memory().Value()))
	}
	return 0
}
