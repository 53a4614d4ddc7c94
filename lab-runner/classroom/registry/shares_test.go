package registry

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"wheelhouse/lab-runner/classroom/address"
)

// One address has a part of the turns only, also one of several machines of a link.
func TestShares(t *testing.T) {
	for one, other := range map[string]string{"192.0.2.1:1": "192.0.2.2:1", "[2001:db8::1]:1": "[2001:db8:0:1::1]:1", "[fe80::1%eth0]:1": "[fe80::2%eth0]:1"} {
		var s shares
		one, other := address.Of(one), address.Of(other)
		for range requestsEach {
			if !s.enter(one) {
				t.Fatalf("too few requests of %s", one)
			}
		}
		if s.enter(one) || !s.enter(other) {
			t.Errorf("%s takes the turns of %s", one, other)
		}
		for range requestsEach {
			s.leave(one)
		}
		if s.leave(other); len(s.by) != 0 {
			t.Errorf("left behind: %v", s.by)
		}
	}
}

// Who reads slowly does not keep a turn beyond the time of a request.
func TestSlowReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := boundedWriter{httptest.NewRecorder(), ctx}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := w.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the time of the request: %v", err)
	}
}
