package containerspec

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
)

// The scheduler of the kernel has these bounds.
const (
	CFSPeriod = 100_000 // microseconds
	MinQuota  = 1_000
	MinShares = 2
)

// Resources are those of the container's control group.
func Resources(c *v1.Container, pids int64) cri.Resources {
	r := cri.Resources{Memory: c.Resources.Limits.Memory().Value(), Pids: pids}
	request := c.Resources.Requests.Cpu()
	if _, ok := c.Resources.Requests[v1.ResourceCPU]; !ok {
		request = c.Resources.Limits.Cpu()
	}
	r.CPUShares = Shares(request)
	if limit := c.Resources.Limits.Cpu(); limit.MilliValue() > 0 {
		r.CPUPeriod, r.CPUQuota = CFSPeriod, Quota(limit)
	}
	return r
}

// Shares returns the weight of a request.
func Shares(cpu *resource.Quantity) int64 { return max(MinShares, cpu.MilliValue()*1024/1000) }

// Quota returns the microseconds in a CFSPeriod that a limit is.
func Quota(cpu *resource.Quantity) int64 { return max(MinQuota, cpu.MilliValue()*CFSPeriod/1000) }

// OOMScoreAdj makes the kernel kill the containers with the lowest requests first.
func OOMScoreAdj(pod *v1.Pod, c *v1.Container, memory *resource.Quantity) int {
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
