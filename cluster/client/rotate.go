package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Rotation is a certificate in use that is renewed, with a new key, at about two thirds of
// its lifetime. The caller runs Run.
type Rotation struct {
	RotationConfig
	current atomic.Pointer[tls.Certificate]
	failed  atomic.Int64 // renewals
}

// RotationConfig configures a Rotation.
type RotationConfig struct {
	Name  string // for the log
	Issue func(context.Context) (*Pair, error)
	// Changed is called with each new certificate after it is in use; may be nil.
	Changed func(*Pair) error
	// Found returns a newer certificate that the administrator has written, or nil; it is
	// called once a minute. May be nil.
	Found func() *Pair
	// Remedy is what to do when the certificate has expired; "" where it is renewed all the same.
	Remedy string
	Clock  clock.Clock // the real one when nil
	Log    *slog.Logger
}

// The intervals between attempts to renew, and between calls of Found.
const (
	renewRetry = 10 * time.Second
	renewLook  = time.Minute
)

// NewRotation returns a Rotation that starts with first, which may be nil.
func NewRotation(c RotationConfig, first *tls.Certificate) *Rotation {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	r := &Rotation{RotationConfig: c}
	r.current.Store(first)
	return r
}

var errNoCertificate = errors.New("there is no certificate yet")

// ForServer is a tls.Config's GetCertificate.
func (r *Rotation) ForServer(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := r.current.Load(); c != nil {
		return c, nil
	}
	return nil, errNoCertificate
}

// ForClient is a tls.Config's GetClientCertificate.
func (r *Rotation) ForClient(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if c := r.current.Load(); c != nil {
		return c, nil
	}
	return nil, errNoCertificate
}

// Renew replaces the certificate now.
func (r *Rotation) Renew(ctx context.Context) error {
	p, err := r.Issue(ctx)
	if err != nil {
		return err
	}
	return r.use(p)
}

func (r *Rotation) use(p *Pair) error {
	r.current.Store(p.TLS)
	if r.Changed == nil {
		return nil
	}
	return r.Changed(p)
}

// Run renews the certificate until ctx is done. A failed renewal is retried.
func (r *Rotation) Run(ctx context.Context) error {
	for spread, former := 0.9+rand.Float64()/5, ""; ; {
		if why := r.invalid(); why != former {
			former = why
			if why != "" {
				r.Log.Error("a certificate is not valid by this machine's clock", "of", r.Name, "why", why)
			}
		}
		wait := min(r.due(spread), renewLook)
		if wait <= 0 {
			switch err := r.Renew(ctx); {
			case err == nil:
				r.Log.Info("certificate renewed", "of", r.Name, "until", r.current.Load().Leaf.NotAfter)
			case ctx.Err() == nil:
				r.failed.Add(1)
				r.Log.Warn("renew a certificate", "of", r.Name, "err", err)
			}
			wait = renewRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.Clock.After(wait):
		}
		if r.Found == nil {
			continue
		}
		if p := r.Found(); p != nil {
			r.Log.Info("certificate replaced", "of", r.Name, "until", p.TLS.Leaf.NotAfter)
			if err := r.use(p); err != nil {
				r.Log.Warn("use a certificate", "of", r.Name, "err", err)
			}
		}
	}
}

// invalid returns why the certificate in use is not valid now, with what to do, or "".
func (r *Rotation) invalid() string {
	c, now := r.current.Load(), r.Clock.Now()
	switch {
	case c == nil || r.Remedy == "":
		return ""
	case now.Before(c.Leaf.NotBefore):
		return "it begins at " + c.Leaf.NotBefore.Format(time.RFC3339) + ": set the clock of this machine"
	case now.After(c.Leaf.NotAfter):
		return "it has expired at " + c.Leaf.NotAfter.Format(time.RFC3339) + ": set the clock of this machine if it is wrong; else " + r.Remedy
	}
	return ""
}

// due returns the time until the renewal; spread (about 1) distributes the renewals of many
// nodes.
func (r *Rotation) due(spread float64) time.Duration {
	c := r.current.Load()
	if c == nil {
		return 0
	}
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return c.Leaf.NotBefore.Add(time.Duration(float64(life) * spread * 2 / 3)).Sub(r.Clock.Now())
}
