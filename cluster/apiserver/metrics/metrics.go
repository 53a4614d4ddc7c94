// Package metrics counts the requests and health checks of the API server, under the names
// that dashboards for Kubernetes use.
//
// It owns the registries behind /metrics and /metrics/slis. A path that no handler serves is
// never a label.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"wheelhouse/cluster/apiserver/requestinfo"
)

// Metrics are those of one server.
type Metrics struct {
	Handler http.Handler // /metrics
	SLIs    http.Handler // /metrics/slis

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inflight *prometheus.GaugeVec
	watches  *prometheus.GaugeVec

	healthy *prometheus.GaugeVec
	checks  *prometheus.CounterVec
}

// New returns the metrics of a server; more are served with them.
func New(more ...prometheus.Collector) *Metrics {
	s := &Metrics{
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
	s.Handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})

	s.healthy = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kubernetes_healthcheck", Help: "The result of the last health check: 1 when it passed.",
	}, []string{"name", "type"})
	s.checks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubernetes_healthchecks_total", Help: "The results of all health checks.",
	}, []string{"name", "status", "type"})
	indicators := prometheus.NewRegistry()
	indicators.MustRegister(s.healthy, s.checks)
	s.SLIs = promhttp.HandlerFor(indicators, promhttp.HandlerOpts{})
	return s
}

// Checked counts the result of a health check at a path such as readyz.
func (s *Metrics) Checked(check, path string, err error) {
	value, status := 1.0, "success"
	if err != nil {
		value, status = 0, "error"
	}
	s.healthy.WithLabelValues(check, path).Set(value)
	s.checks.WithLabelValues(check, status, path).Inc()
}

// Begin counts a request; done ends it with its status code. A request is served when it has
// a handler.
func (s *Metrics) Begin(r *requestinfo.Info, served bool) (done func(code int)) {
	start := time.Now()
	verb, group, version, resource, subresource := "other", "", "", "", ""
	if served { // else anything may be in the path
		verb, group, version, resource, subresource = r.Verb, r.Group, r.Version, r.Plural, r.Subresource
	}
	var open prometheus.Gauge
	long := served && r.LongRunning()
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
