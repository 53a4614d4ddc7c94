package kubelet

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/hostinfo"
	"wheelhouse/cluster/kubelet/nodefs"
)

// observeSignals is what the node sees of itself. A node that was told to be smaller
// than its machine has left what its own pods leave of its size, and never more than
// the machine has.
func (k *Kubelet) observeSignals(ctx context.Context) map[Signal]Observation {
	out := map[Signal]Observation{}
	if available, err := hostinfo.MemoryAvailable(); err == nil {
		capacity := k.capacity.Memory().Value()
		out[SignalMemory] = Observation{max(0, min(available, capacity-int64(k.nodeUsage().WorkingSet))), capacity}
	}
	if fs, err := k.nodeFS(time.Now()); err == nil {
		out[SignalNodeFS] = Observation{fs.Available, fs.Capacity}
		if fs.Inodes > 0 { // some file systems have no fixed number
			out[SignalNodeFSInodes] = Observation{fs.InodesFree, fs.Inodes}
		}
	}
	if fs, err := k.imageFS(ctx); err == nil {
		out[SignalImageFS] = Observation{fs.Available, fs.Capacity}
		if fs.Inodes > 0 {
			out[SignalImageFSInodes] = Observation{fs.InodesFree, fs.Inodes}
		}
	}
	if most, now, err := hostinfo.Processes(); err == nil {
		out[SignalPID] = Observation{max(0, most-now), most}
	}
	return out
}

// nodeFS is the file system of the node's own folder.
func (k *Kubelet) nodeFS(now time.Time) (nodefs.FileSystem, error) {
	fs, err := nodefs.StatFS(k.config.RootDir)
	if err != nil {
		return fs, err
	}
	size, told := k.config.Capacity[v1.ResourceEphemeralStorage]
	if !told {
		return fs, nil
	}
	used := int64(0)
	for _, w := range k.allWorkers() {
		pod := w.latest()
		used += w.candidate(pod, v1.ResourceEphemeralStorage, now).disk
	}
	fs.Capacity = size.Value()
	fs.Available = max(0, min(fs.Available, fs.Capacity-used))
	return fs, nil
}

// imageFS is the file system that images lie on.
func (k *Kubelet) imageFS(ctx context.Context) (nodefs.FileSystem, error) {
	dir, err := k.runtime.ImageDir(ctx)
	if err != nil {
		return nodefs.FileSystem{}, err
	}
	return nodefs.StatFS(dir)
}

// nodeUsage is what belongs to the node: its pods, and the process it runs in.
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
