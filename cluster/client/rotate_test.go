package client

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
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
