package authn

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// legacyMetrics count the uses of tokens that are in Secrets, by upstream's names.
type legacyMetrics struct{ used, manual, automatic, invalidated prometheus.Counter }

func newLegacyMetrics() legacyMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Subsystem: "serviceaccount", Name: name, Help: "[ALPHA] " + help})
	}
	return legacyMetrics{
		used:        counter("legacy_tokens_total", "Cumulative legacy service account tokens used"),
		manual:      counter("legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"),
		automatic:   counter("legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"),
		invalidated: counter("invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"),
	}
}

// Collectors returns the metrics of t.
func (t *Tokens) Collectors() []prometheus.Collector {
	m := &t.legacy
	return []prometheus.Collector{m.used, m.manual, m.automatic, m.invalidated}
}

// impersonationMetrics count attempts to impersonate and what was asked of the authorizer for them, by mode and
// decision, by upstream's names.
type impersonationMetrics struct {
	attempts, checks         *prometheus.CounterVec
	attemptsTook, checksTook *prometheus.HistogramVec
}

func newImpersonationMetrics() impersonationMetrics {
	const namespace, subsystem = "apiserver", "impersonation"
	by := []string{"mode", "decision"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: "[ALPHA] " + help}, by)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: "[ALPHA] " + help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, by)
	}
	return impersonationMetrics{
		attempts:     counter("attempts_total", "Total number of impersonation attempts split by mode and decision."),
		attemptsTook: histogram("attempts_duration_seconds", "Latency of impersonation attempts in seconds split by mode and decision."),
		checks:       counter("authorization_attempts_total", "Total number of authorization checks made by the impersonation handler split by mode and decision."),
		checksTook:   histogram("authorization_attempts_duration_seconds", "Latency of authorization checks made by the impersonation handler in seconds split by mode and decision."),
	}
}

func (m *impersonationMetrics) attempt(mode string, allowed bool, took time.Duration) {
	m.attempts.WithLabelValues(mode, decision(allowed)).Inc()
	m.attemptsTook.WithLabelValues(mode, decision(allowed)).Observe(took.Seconds())
}

func (m *impersonationMetrics) check(mode string, allowed bool, took time.Duration) {
	m.checks.WithLabelValues(mode, decision(allowed)).Inc()
	m.checksTook.WithLabelValues(mode, decision(allowed)).Observe(took.Seconds())
}

func decision(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

// Collectors returns the metrics of a.
func (a *Authenticator) Collectors() []prometheus.Collector {
	m := &a.impersonations
	return []prometheus.Collector{m.attempts, m.attemptsTook, m.checks, m.checksTook}
}
