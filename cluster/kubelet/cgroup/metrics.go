package cgroup

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var managerDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "kubelet_cgroup_manager_duration_seconds", Help: "Duration in seconds for cgroup manager operations. Broken down by method.",
}, []string{"operation_type"})

// Collectors returns the metrics of the process's control groups, under upstream's names. The engine makes them, which is no operation of
// this package: there is no "create".
func Collectors() []prometheus.Collector { return []prometheus.Collector{managerDuration} }

// took counts an operation that began at start.
func took(kind string, start time.Time) {
	managerDuration.WithLabelValues(kind).Observe(time.Since(start).Seconds())
}
