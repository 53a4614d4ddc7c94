package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	await "wheelhouse/cluster/wait"
)

// A certificate that is not valid by the machine's clock is named with what to do.
func TestInvalid(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := clocktesting.NewFakeClock(begin)
	leaf := &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(time.Hour)}
	r := NewRotation(RotationConfig{Clock: now, Remedy: "join again"}, &tls.Certificate{Leaf: leaf})
	for at, want := range map[time.Duration]string{-time.Second: "it begins at 2026-01-01T00:00:00Z", time.Minute: "", 2 * time.Hour: "it has expired at 2026-01-01T01:00:00Z: set the clock of this machine if it is wrong; else join again"} {
		now.SetTime(begin.Add(at))
		if got := r.invalid(); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("after %s: %q, want %q", at, got, want)
		}
	}
	if got := NewRotation(RotationConfig{Clock: now}, nil).invalid(); got != "" {
		t.Errorf("without a certificate: %q", got)
	}
}

// blocked returns when somebody waits for the clock.
func blocked(t *testing.T, now *clocktesting.FakeClock) {
	t.Helper()
	await.For(t, "a renewal to wait", func() error { return await.Seen(now.HasWaiters(), "nobody waits") })
}

// The metrics of a node's certificates are the seconds until each ends, and the renewals that failed.
func TestCertificateMetrics(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := clocktesting.NewFakeClock(begin)
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan bool)
	refused := RotationConfig{Clock: now, Log: slog.New(slog.DiscardHandler), Issue: func(context.Context) (*Pair, error) {
		asked <- true
		return nil, errors.New("the API server is away")
	}}
	id := &Identity{rotation: NewRotation(refused, &tls.Certificate{Leaf: &x509.Certificate{NotBefore: begin.Add(-time.Hour), NotAfter: begin.Add(time.Minute)}})}
	ended := make(chan error, 1)
	go func() { ended <- id.rotation.Run(ctx) }()
	<-asked
	blocked(t, now)
	now.Step(renewRetry)
	<-asked
	blocked(t, now)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(CertificateMetrics(id, NewRotation(refused, nil))...)
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range all {
		got[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
	}
	if want := map[string]float64{
		"kubelet_certificate_manager_server_ttl_seconds": math.Inf(1), "kubelet_server_expiration_renew_errors": 0,
		"kubelet_certificate_manager_client_ttl_seconds": 50, "kubelet_certificate_manager_client_expiration_renew_errors": 2,
	}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(CertificateMetrics(&Identity{}, NewRotation(refused, nil))); n != 2 {
		t.Errorf("%d metrics of a node whose certificate others keep", n)
	}
}
