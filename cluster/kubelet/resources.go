package kubelet

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
)

const (
	cfsPeriod = 100_000 // microseconds
	minQuota  = 1_000
	minShares = 2
)

// containerResources are the limits of a container's control group.
func containerResources(c *v1.Container, pids int64) cri.Resources {
	r := cri.Resources{Memory: c.Resources.Limits.Memory().Value(), Pids: pids}
	request := c.Resources.Requests.Cpu()
	if _, ok := c.Resources.Requests[v1.ResourceCPU]; !ok {
		request = c.Resources.Limits.Cpu()
	}
	r.CPUShares = shares(request)
	if limit := c.Resources.Limits.Cpu(); limit.MilliValue() > 0 {
		r.CPUPeriod, r.CPUQuota = cfsPeriod, quota(limit)
	}
	return r
}

func shares(cpu *resource.Quantity) int64 { return max(minShares, cpu.MilliValue()*1024/1000) }

func quota(cpu *resource.Quantity) int64 { return max(minQuota, cpu.MilliValue()*cfsPeriod/1000) }

// oomScoreAdj makes the kernel kill first what asked for least.
func oomScoreAdj(pod *v1.Pod, c *v1.Container, memory *resource.Quantity) int {
	switch podfacts.QOSClass(pod) {
	case v1.PodQOSGuaranteed:
		return -997
	case v1.PodQOSBestEffort:
		return 1000
	}
	if memory.IsZero() {
		return 999
	}
	adj := 1000 - 1000*c.Resources.Requests.Memory().Value()/memory.Value()
	return int(min(max(adj, 3), 999))
}
