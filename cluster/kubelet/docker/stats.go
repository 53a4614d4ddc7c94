package docker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"wheelhouse/cluster/kubelet"
)

// Stats reads a running container's counters once.
func (r *Runtime) Stats(ctx context.Context, id string) (kubelet.Stats, error) {
	res, err := r.docker.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return kubelet.Stats{}, explain("read statistics", err)
	}
	defer res.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return kubelet.Stats{}, fmt.Errorf("read statistics: %w", err)
	}
	out := kubelet.Stats{Time: s.Read, CPUNanoseconds: s.CPUStats.CPUUsage.TotalUsage, Memory: s.MemoryStats.Usage}
	// The page cache that could be dropped at once is not needed memory. The
	// counter has another name in each version of the control groups.
	inactive, ok := s.MemoryStats.Stats["total_inactive_file"]
	if !ok {
		inactive = s.MemoryStats.Stats["inactive_file"]
	}
	out.WorkingSet = out.Memory - min(inactive, out.Memory)
	return out, nil
}
