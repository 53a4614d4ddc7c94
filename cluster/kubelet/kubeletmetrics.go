package kubelet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the kubelet's own, under upstream's names.
func (s served) metrics() prometheus.Gatherer {
	k := s.k
	name := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubelet_node_name", Help: "The node's name. The count is always 1.",
		ConstLabels: prometheus.Labels{"node": k.config.NodeName},
	})
	name.Set(1)
	pods := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubelet_running_pods", Help: "Number of pods that the node takes care of.",
	}, func() float64 {
		k.mu.Lock()
		defer k.mu.Unlock()
		return float64(len(k.workers))
	})
	registry := prometheus.NewRegistry()
	registry.MustRegister(name, pods, k.terminations, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return registry
}
