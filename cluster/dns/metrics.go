package dns

import (
	"net/http"
	"slices"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics have the names of CoreDNS's, which the usual dashboards read, without labels that are
// always the same here.
type metrics struct {
	registry              *prometheus.Registry
	requests, responses   *prometheus.CounterVec
	duration              prometheus.Histogram
	hits, misses, rejects prometheus.Counter
}

func newMetrics(entries func() int) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "coredns_dns_requests_total", Help: "Questions, by protocol and type."}, []string{"proto", "type"}),

		responses: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "coredns_dns_responses_total", Help: "Answers, by response code."}, []string{"rcode"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coredns_dns_request_duration_seconds", Help: "The time to an answer.", Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
		hits:    counter("coredns_cache_hits_total", "Questions about names outside the cluster that the cache answered."),
		misses:  counter("coredns_cache_misses_total", "Questions about names outside the cluster that other name servers answered."),
		rejects: counter("coredns_forward_max_concurrent_rejects_total", "Questions that were refused since too many waited for other name servers."),
	}
	m.registry.MustRegister(m.requests, m.responses, m.duration, m.hits, m.misses, m.rejects,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "coredns_cache_entries", Help: "Answers in the cache."}, func() float64 { return float64(entries()) }))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// counted are the types with a count of their own, so that a client cannot make more: as in CoreDNS.
var counted = []uint16{
	dns.TypeAAAA, dns.TypeA, dns.TypeCNAME, dns.TypeDNSKEY, dns.TypeDS, dns.TypeMX, dns.TypeNSEC3, dns.TypeNSEC, dns.TypeNS,
	dns.TypePTR, dns.TypeRRSIG, dns.TypeSOA, dns.TypeSRV, dns.TypeTXT, dns.TypeHTTPS, dns.TypeANY,
}

func (m *metrics) observe(req, resp *dns.Msg, network string, began time.Time) {
	name := "other"
	if len(req.Question) == 1 && slices.Contains(counted, req.Question[0].Qtype) {
		name = dns.TypeToString[req.Question[0].Qtype]
	}
	m.requests.WithLabelValues(network, name).Inc()
	m.responses.WithLabelValues(dns.RcodeToString[resp.Rcode]).Inc()
	m.duration.Observe(time.Since(began).Seconds())
}
