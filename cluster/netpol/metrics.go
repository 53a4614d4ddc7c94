package netpol

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics are those of the process.
var (
	syncDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "wheelhouse_network_policy_sync_duration_seconds", Help: "How long the rules of network policies took to compute and write",
		Buckets: prometheus.ExponentialBuckets(.001, 2, 15),
	})
	lastSync = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wheelhouse_network_policy_last_sync_timestamp_seconds", Help: "When the rules of network policies were last written",
	})
)

// Collectors returns the metrics of the process's network policies.
func Collectors() []prometheus.Collector { return []prometheus.Collector{syncDuration, lastSync} }

// synced counts a synchronization that began at start.
func synced(start time.Time, err error) {
	syncDuration.Observe(time.Since(start).Seconds())
	if err == nil {
		lastSync.SetToCurrentTime()
	}
}
