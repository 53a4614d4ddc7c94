package authn

import "github.com/prometheus/client_golang/prometheus"

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
