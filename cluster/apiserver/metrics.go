package apiserver

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// stats are the server's metrics, under the names that dashboards for Kubernetes know.
type stats struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inflight *prometheus.GaugeVec
	watches  *prometheus.GaugeVec

	slis    http.Handler // how the server's parts do, and have done
	healthy *prometheus.GaugeVec
	checks  *prometheus.CounterVec
}

// newStats makes the metrics, and serves more beside them.
func newStats(more ...prometheus.Collector) *stats {
	s := &stats{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total", Help: "Requests answered, by verb, resource and status code.",
		}, []string{"verb", "group", "version", "resource", "subresource", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apiserver_request_duration_seconds", Help: "Time to answer, without streams.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 10, 60},
		}, []string{"verb", "resource"}),
		inflight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_current_inflight_requests", Help: "Requests under way, without streams.",
		}, []string{"request_kind"}),
		watches: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests", Help: "Watches and other streams that are open.",
		}, []string{"verb", "resource"}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.requests, s.duration, s.inflight, s.watches,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	registry.MustRegister(more...)
	s.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	s.healthy = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kubernetes_healthcheck", Help: "The result of the last health check: 1 when it passed.",
	}, []string{"name", "type"})
	s.checks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubernetes_healthchecks_total", Help: "The results of all health checks.",
	}, []string{"name", "status", "type"})
	indicators := prometheus.NewRegistry()
	indicators.MustRegister(s.healthy, s.checks)
	s.slis = promhttp.HandlerFor(indicators, promhttp.HandlerOpts{})
	return s
}

// checked counts the result of a health check at a path such as readyz.
func (s *stats) checked(check, path string, err error) {
	value, status := 1.0, "success"
	if err != nil {
		value, status = 0, "error"
	}
	s.healthy.WithLabelValues(check, path).Set(value)
	s.checks.WithLabelValues(check, status, path).Inc()
}

// begin counts a request; the function it returns ends it, with its status code.
func (s *stats) begin(r *request) (done func(code int)) {
	start := time.Now()
	verb, group, version, resource, subresource := "other", "", "", "", ""
	if r.serve != nil { // else anything may be in the path, and must not become a label
		verb, group, version, resource, subresource = r.Verb, r.Group, r.Version, r.Plural, r.Subresource
	}
	var open prometheus.Gauge
	long := r.longRunning()
	switch {
	case long:
		open = s.watches.WithLabelValues(verb, resource)
	case r.Mutates():
		open = s.inflight.WithLabelValues("mutating")
	default:
		open = s.inflight.WithLabelValues("readOnly")
	}
	open.Inc()
	return func(code int) {
		open.Dec()
		s.requests.WithLabelValues(verb, group, version, resource, subresource, strconv.Itoa(code)).Inc()
		if !long {
			s.duration.WithLabelValues(verb, resource).Observe(time.Since(start).Seconds())
		}
	}
}
