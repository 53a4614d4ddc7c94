package probe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics are those of the process, under upstream's names. A container's are removed with
// its probe.
var (
	total = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "prober_probe_total", Help: "Cumulative number of a liveness, readiness or startup probe for a container by result.",
	}, []string{"probe_type", "result", "container", "pod", "namespace", "pod_uid"})
	duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "prober_probe_duration_seconds", Help: "Duration in seconds for a probe response.",
	}, []string{"probe_type", "container", "pod", "namespace"})
)

// Collectors returns the metrics of the process's probes.
func Collectors() []prometheus.Collector { return []prometheus.Collector{total, duration} }

// count counts one probe.
func (t Target) count(kind string, v result, took time.Duration) {
	text := "unknown"
	switch v {
	case success:
		text = "successful"
	case failure:
		text = "failed"
	}
	total.WithLabelValues(kind, text, t.Container.Name, t.Pod.Name, t.Pod.Namespace, t.Pod.UID).Inc()
	if v == success { // as upstream
		duration.WithLabelValues(kind, t.Container.Name, t.Pod.Name, t.Pod.Namespace).Observe(took.Seconds())
	}
}

// uncount removes the metrics of a probe that ends.
func (t Target) uncount(kind string) {
	labels := prometheus.Labels{"probe_type": kind, "container": t.Container.Name, "pod": t.Pod.Name, "namespace": t.Pod.Namespace}
	duration.Delete(labels)
	labels["pod_uid"] = t.Pod.UID
	total.DeletePartialMatch(labels)
}
