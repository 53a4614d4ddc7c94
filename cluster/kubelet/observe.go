package kubelet

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/hostinfo"
	"wheelhouse/cluster/kubelet/nodefs"
)

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
