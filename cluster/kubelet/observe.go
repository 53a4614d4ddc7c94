package kubelet

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/nodefs"
)

// observeSignals is what the node sees of itself. A node that was told to be smaller
// than its machine has left what its own pods leave of its size, and never more than
// the machine has.
func (k *Kubelet) observeSignals(ctx context.Context) map[Signal]Observation {
	out := map[Signal]Observation{}
	if available, err := machineAvailable(); err == nil {
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
	if most, now, err := machineProcesses(); err == nil {
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
	own := ownUsage()
	sum.CPUNanoseconds += own.CPUNanoseconds
	sum.Memory += own.Memory
	sum.WorkingSet += own.WorkingSet
	sum.RSS += own.RSS
	sum.PageFaults += own.PageFaults
	sum.MajorFaults += own.MajorFaults
	sum.Processes++
	return sum
}

// ownUsage is what this process uses.
func ownUsage() cgroup.Usage {
	u := cgroup.Usage{Time: time.Now()}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPUNanoseconds = uint64(r.Utime.Nano() + r.Stime.Nano())
		u.PageFaults, u.MajorFaults = uint64(r.Minflt), uint64(r.Majflt)
	}
	fields := strings.Fields(readLine("/proc/self/statm"))
	if len(fields) > 1 {
		if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			u.RSS = pages * uint64(os.Getpagesize())
			u.Memory, u.WorkingSet = u.RSS, u.RSS
		}
	}
	return u
}

// machineAvailable is the memory that the machine can still give.
func machineAvailable() (int64, error) { return meminfo("MemAvailable:") }

func machineMemory() (int64, error) { return meminfo("MemTotal:") }

func meminfo(name string) (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 1 && fields[0] == name {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}

// machineProcesses is how many processes and threads there may be, and how many are.
func machineProcesses() (most, now int64, err error) {
	if most, err = strconv.ParseInt(readLine("/proc/sys/kernel/pid_max"), 10, 64); err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(readLine("/proc/loadavg"))
	if len(fields) < 4 {
		return 0, 0, fmt.Errorf("/proc/loadavg has %d fields", len(fields))
	}
	_, all, _ := strings.Cut(fields[3], "/")
	now, err = strconv.ParseInt(all, 10, 64)
	return most, now, err
}
