package apitest

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz"
)

// WithAdmission gives the server the policy of a real one, with service addresses in
// 10.247.0.0/16. Pods then need their namespace's service account: make one named
// default, or run the controller that does.
func WithAdmission(t testing.TB) Option {
	t.Helper()
	return func(c *apiserver.Config) {
		t.Helper()
		log := slog.New(slog.DiscardHandler)
		objects := authz.FromStore(c.Store, builtin.Kinds)
		grants, err := authz.New(authz.Config{Objects: objects, Log: log})
		if err != nil {
			t.Fatalf("making the authorizer: %v", err)
		}
		chain, err := admission.New(admission.Config{
			Objects: objects, Authorizer: grants, Log: log, Quotas: admission.StoreQuotas(c.Store),
			Services: serviceallocator.Config{CIDR: netip.MustParsePrefix("10.247.0.0/16")},
		})
		if err != nil {
			t.Fatalf("making admission: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 2)
		go func() { done <- chain.Run(ctx) }()
		go func() { done <- grants.Run(ctx) }() // of users that are no administrators
		t.Cleanup(func() {
			cancel()
			for range cap(done) {
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("stopping admission: %v", err)
				}
			}
		})
		c.Admission = chain
	}
}
