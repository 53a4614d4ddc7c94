package resize

import (
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/podspec"
)

// PodLimits returns the limits of a pod's control group: the sum of its containers' shares, and a limit
// where each container has one.
func PodLimits(pod *v1.Pod, pids int64) cgroup.Limits {
	requests, limits := podspec.Resources(pod)
	out := cgroup.Limits{CPUShares: containerspec.Shares(requests.Cpu()), Pids: pids}
	if cpu, ok := limits[v1.ResourceCPU]; ok {
		out.CPUPeriod, out.CPUQuota = containerspec.CFSPeriod, containerspec.Quota(&cpu)
	}
	if memory, ok := limits[v1.ResourceMemory]; ok {
		out.Memory = memory.Value()
	}
	return out
}

// Widest returns limits within which both fit.
func Widest(a, b cgroup.Limits) cgroup.Limits {
	most := func(x, y int64) int64 {
		if x == 0 || y == 0 {
			return 0
		}
		return max(x, y)
	}
	return cgroup.Limits{
		CPUShares: max(a.CPUShares, b.CPUShares), CPUQuota: most(a.CPUQuota, b.CPUQuota), CPUPeriod: max(a.CPUPeriod, b.CPUPeriod),
		Memory: most(a.Memory, b.Memory), Pids: most(a.Pids, b.Pids),
	}
}
