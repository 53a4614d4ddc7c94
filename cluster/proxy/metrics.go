package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics are those of the process, under upstream's names.
var (
	syncDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "kubeproxy_sync_proxy_rules_duration_seconds", Help: "SyncProxyRules latency in seconds", Buckets: prometheus.ExponentialBuckets(.001, 2, 15),
	})
	lastSync = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubeproxy_sync_proxy_rules_last_timestamp_seconds", Help: "The last time proxy rules were successfully synced",
	})
)

// Collectors returns the metrics of the process's proxy.
func Collectors() []prometheus.Collector { return []prometheus.Collector{syncDuration, lastSync} }

// synced counts a synchronization that began at start.
func synced(start time.Time, err error) {
	syncDuration.Observe(time.Since(start).Seconds())
	if err == nil {
		lastSync.SetToCurrentTime()
	}
}
