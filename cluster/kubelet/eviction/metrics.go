package eviction

import "github.com/prometheus/client_golang/prometheus"

var evictions = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "kubelet_evictions", Help: "Cumulative number of pod evictions by eviction signal",
}, []string{"eviction_signal"})

// Collectors returns the metrics of the process's evictions, under upstream's names. Each signal has a count from the start, so that the
// first eviction shows in a rate.
func Collectors() []prometheus.Collector {
	for s := range signals {
		evictions.WithLabelValues(string(s))
	}
	return []prometheus.Collector{evictions}
}
