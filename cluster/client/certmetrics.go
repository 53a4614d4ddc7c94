package client

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// CertificateMetrics are those of a node's certificates, under upstream's names: the seconds until each ends, and the renewals that failed.
func CertificateMetrics(id *Identity, serving *Rotation) []prometheus.Collector {
	both := serving.metrics("kubelet_certificate_manager_server_ttl_seconds", "kubelet_server_expiration_renew_errors")
	if id.rotation == nil { // whoever runs the node keeps its certificate
		return both
	}
	return append(both, id.rotation.metrics("kubelet_certificate_manager_client_ttl_seconds", "kubelet_certificate_manager_client_expiration_renew_errors")...)
}

func (r *Rotation) metrics(ttl, failed string) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: ttl, Help: "Seconds until the certificate in use ends, below zero after that; infinite without one.",
		}, func() float64 {
			if c := r.current.Load(); c != nil {
				return math.Trunc(c.Leaf.NotAfter.Sub(r.Clock.Now()).Seconds())
			}
			return math.Inf(1)
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: failed, Help: "Renewals of the certificate that failed."}, func() float64 { return float64(r.failed.Load()) }),
	}
}
