package kubelet

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/podspec"
)

func newTerminations() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubelet_terminated_containers_total", Help: "Cumulative number of container terminations.",
	}, []string{"container_type", "exit_code", "reason"})
}

// countTerminations counts the terminations in a pod's status that its status before did not
// have.
func countTerminations(ends *prometheus.CounterVec, before, now *v1.PodStatus) {
	for kind, list := range map[string][]v1.ContainerStatus{
		"container": now.ContainerStatuses, "init_container": now.InitContainerStatuses, "ephemeral_container": now.EphemeralContainerStatuses,
	} {
		for i := range list {
			known := map[string]bool{"": true} // what never ran has no id
			if old := podspec.ContainerStatus(before, list[i].Name); old != nil {
				for _, end := range terminationsOf(old) {
					known[end.ContainerID] = true
				}
			}
			for _, end := range terminationsOf(&list[i]) {
				if !known[end.ContainerID] {
					ends.WithLabelValues(kind, strconv.Itoa(int(end.ExitCode)), end.Reason).Inc()
				}
			}
		}
	}
}

func terminationsOf(s *v1.ContainerStatus) []*v1.ContainerStateTerminated {
	var out []*v1.ContainerStateTerminated
	for _, end := range []*v1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if end != nil {
			out = append(out, end)
		}
	}
	return out
}
