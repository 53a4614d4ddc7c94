package kubelet

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// The metrics are those of the process, under upstream's names.
var (
	operations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubelet_runtime_operations_total", Help: "Cumulative number of runtime operations by operation type.",
	}, []string{"operation_type"})
	operationErrors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubelet_runtime_operations_errors_total", Help: "Cumulative number of runtime operation errors by operation type.",
	}, []string{"operation_type"})
	operationDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kubelet_runtime_operations_duration_seconds", Help: "Duration in seconds of runtime operations.",
		Buckets: prometheus.ExponentialBuckets(.005, 2.5, 14),
	}, []string{"operation_type"})
	relistDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kubelet_pleg_relist_duration_seconds", Help: "Duration in seconds for a relist.",
	})
	relistInterval = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kubelet_pleg_relist_interval_seconds", Help: "Interval in seconds between relists.", Buckets: prometheus.ExponentialBuckets(.1, 2, 12),
	})
	workerDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kubelet_pod_worker_duration_seconds", Help: "Duration in seconds of a step of a pod's worker.",
	}, []string{"operation_type"})
	podStart = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kubelet_pod_start_duration_seconds", Help: "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
		Buckets: []float64{0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600},
	})

	collectors = []prometheus.Collector{operations, operationErrors, operationDuration, relistDuration, relistInterval, workerDuration, podStart}
)

// measured counts the operations of a runtime.
type measured struct{ Runtime }

// operated counts an operation that began at start.
func operated(kind string, start time.Time, err error) {
	operations.WithLabelValues(kind).Inc()
	operationDuration.WithLabelValues(kind).Observe(time.Since(start).Seconds())
	if err != nil {
		operationErrors.WithLabelValues(kind).Inc()
	} else {
		operationErrors.WithLabelValues(kind).Add(0) // so that there is a rate from the start
	}
}

// Create implements Runtime.
func (m measured) Create(ctx context.Context, spec *cri.Spec) (id string, err error) {
	kind := "create_container"
	if spec.Sandbox == "" {
		kind = "run_podsandbox"
	}
	defer func(start time.Time) { operated(kind, start, err) }(time.Now())
	return m.Runtime.Create(ctx, spec)
}

// Start implements Runtime.
func (m measured) Start(ctx context.Context, id string) (err error) {
	defer func(start time.Time) { operated("start_container", start, err) }(time.Now())
	return m.Runtime.Start(ctx, id)
}

// Stop implements Runtime.
func (m measured) Stop(ctx context.Context, id string, grace time.Duration) (err error) {
	defer func(start time.Time) { operated("stop_container", start, err) }(time.Now())
	return m.Runtime.Stop(ctx, id, grace)
}

// Remove implements Runtime.
func (m measured) Remove(ctx context.Context, id string) (err error) {
	defer func(start time.Time) { operated("remove_container", start, err) }(time.Now())
	return m.Runtime.Remove(ctx, id)
}

// Update implements Runtime.
func (m measured) Update(ctx context.Context, id string, r cri.Resources) (err error) {
	defer func(start time.Time) { operated("update_container_resources", start, err) }(time.Now())
	return m.Runtime.Update(ctx, id, r)
}

// List implements Runtime.
func (m measured) List(ctx context.Context, uid string) (all []cri.Container, err error) {
	defer func(start time.Time) { operated("list_containers", start, err) }(time.Now())
	return m.Runtime.List(ctx, uid)
}

// Glance implements Runtime.
func (m measured) Glance(ctx context.Context) (all []cri.Container, err error) {
	defer func(start time.Time) { operated("list_podsandbox", start, err) }(time.Now())
	return m.Runtime.Glance(ctx)
}

// Exec implements Runtime.
func (m measured) Exec(ctx context.Context, id string, cmd []string, s cri.IO) (code int, err error) {
	defer func(start time.Time) { operated("exec", start, err) }(time.Now())
	return m.Runtime.Exec(ctx, id, cmd, s)
}

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
