package registry

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// One address has a part of the turns only.
func TestShares(t *testing.T) {
	var s shares
	for range requestsEach {
		if !s.enter("192.0.2.1") {
			t.Fatal("too few requests of one address")
		}
	}
	if s.enter("192.0.2.1") || !s.enter("192.0.2.2") {
		t.Error("one address takes the turns of another")
	}
	for range requestsEach {
		s.leave("192.0.2.1")
	}
	if s.leave("192.0.2.2"); len(s.by) != 0 {
		t.Errorf("left behind: %v", s.by)
	}
}

// A machine has all addresses of its IPv6 network, and those are one client.
func TestClients(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8::7]:5": "2001:db8::/64", "[2001:db8::ffff]:6": "2001:db8::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "nonsense": "nonsense",
	} {
		if got := clientOf(&http.Request{RemoteAddr: from}); got != want {
			t.Errorf("%s is %s, want %s", from, got, want)
		}
	}
}

// Who reads slowly does not keep a turn beyond the time of a request.
func TestSlowReader(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := timed{httptest.NewRecorder(), ctx}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := w.Write([]byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("after the time of the request: %v", err)
	}
}
