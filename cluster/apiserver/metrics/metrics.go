// Package metrics counts the requests and health checks of the API server, under the names
// that dashboards for Kubernetes use.
//
// It owns the registries behind /metrics and /metrics/slis; /metrics has what the whole process
// registers with upstream's library, too. A path that no handler serves is
// never a label.
package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics/legacyregistry"

	"wheelhouse/cluster/apiserver/requestinfo"
)

// Metrics are those of one server.
type Metrics struct {
	Handler http.Handler // /metrics
	SLIs    http.Handler // /metrics/slis

	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	sli          *prometheus.HistogramVec
	terminations *prometheus.CounterVec
	inflight     *prometheus.GaugeVec
	watches      *prometheus.GaugeVec
	certificates prometheus.Histogram

	healthy *prometheus.GaugeVec
	checks  *prometheus.CounterVec
}

// component is the label of all requests here.
const component = "apiserver"

// about are the labels of what a request is about, as upstream.
var about = []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}

// seconds are upstream's buckets, and finer ones below: most requests here take less than 5 ms.
var seconds = []float64{
	.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
}

const day = 24 * 3600

// New returns the metrics of a server; more are served with them, and those of the process.
func New(more ...prometheus.Collector) *Metrics {
	s := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total", Help: "Requests answered, by what they are about and status code.",
		}, append([]string{"code", "dry_run"}, about...)),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apiserver_request_duration_seconds", Help: "Time to answer, without streams.", Buckets: seconds,
		}, append([]string{"dry_run"}, about...)),
		sli: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apiserver_request_sli_duration_seconds", Help: "Time to answer, without streams and without waiting for webhooks.", Buckets: seconds,
		}, about),
		terminations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_terminations_total", Help: "Requests that the server rejected or ended to protect itself.",
		}, append([]string{"code"}, about...)),
		inflight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_current_inflight_requests", Help: "Requests under way, without streams.",
		}, []string{"request_kind"}),
		watches: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests", Help: "Watches and other streams that are open.",
		}, about),
		certificates: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "apiserver_client_certificate_expiration_seconds", Help: "The time until the certificate of a request expires.",
			Buckets: []float64{0, 1800, 3600, 7200, 21600, 43200, day, 2 * day, 4 * day, 7 * day, 30 * day, 90 * day, 180 * day, 360 * day},
		}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.requests, s.duration, s.sli, s.terminations, s.inflight, s.watches, s.certificates)
	registry.MustRegister(more...)
	// With those of the process: its memory and goroutines, and its clients and work queues.
	s.Handler = promhttp.HandlerFor(prometheus.Gatherers{registry, legacyregistry.DefaultGatherer}, promhttp.HandlerOpts{})

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

// Authenticated counts the certificate of a request, if it has one.
func (s *Metrics) Authenticated(r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		s.certificates.Observe(time.Until(r.TLS.PeerCertificates[0].NotAfter).Seconds())
	}
}

// Begin counts a request; done ends it with its status code. A request is served when it has
// a handler.
func (s *Metrics) Begin(r *http.Request, info *requestinfo.Info, served bool) (done func(code int)) {
	start := time.Now()
	labels := labelsOf(r, info, served)
	var open prometheus.Gauge
	long := served && info.LongRunning()
	switch {
	case long:
		open = s.watches.WithLabelValues(labels...)
	case info.Mutates():
		open = s.inflight.WithLabelValues("mutating")
	default:
		open = s.inflight.WithLabelValues("readOnly")
	}
	open.Inc()
	return func(code int) {
		open.Dec()
		dry := ""
		if served && info.Mutates() && strings.Contains(r.URL.RawQuery, "dryRun=All") {
			dry = "All"
		}
		status := strconv.Itoa(code)
		s.requests.WithLabelValues(append([]string{status, dry}, labels...)...).Inc()
		if code == http.StatusTooManyRequests || code == http.StatusGatewayTimeout {
			s.terminations.WithLabelValues(append([]string{status}, labels...)...).Inc()
		}
		if !long {
			took := time.Since(start).Seconds()
			s.duration.WithLabelValues(append([]string{dry}, labels...)...).Observe(took)
			s.sli.WithLabelValues(labels...).Observe(took)
		}
	}
}

// verbs are upstream's labels of the verbs of resources.
var verbs = map[string]string{
	"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION",
}

// labelsOf returns the values of about. Without a handler anything may be in the path, which is
// no label then.
func labelsOf(r *http.Request, info *requestinfo.Info, served bool) []string {
	if !served {
		verb := "other"
		if !info.IsResource && r.Method == http.MethodGet {
			verb = http.MethodGet
		}
		return []string{verb, "", "", "", "", "", component}
	}
	verb := verbs[info.Verb]
	switch info.Subresource {
	case "exec", "attach", "portforward", "proxy", "log":
		verb = http.MethodConnect
	}
	if info.Verb == "patch" && strings.HasPrefix(r.Header.Get("Content-Type"), string(types.ApplyYAMLPatchType)) {
		verb = "APPLY"
	}
	scope := "cluster"
	switch {
	case info.Name != "" || info.Verb == "create":
		scope = "resource"
	case info.Namespace != "":
		scope = "namespace"
	}
	return []string{verb, info.Group, info.Version, info.Plural, info.Subresource, scope, component}
}
