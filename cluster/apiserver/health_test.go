package apiserver_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/wait"
)

// TestHealthIsLoggedWhenItChanges: it is asked for every second, and one line says it.
func TestHealthIsLoggedWhenItChanges(t *testing.T) {
	var log wait.Output
	var well atomic.Bool
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Ready = []apiserver.Check{{Name: "part", Check: func(context.Context) error {
			if well.Load() {
				return nil
			}
			return errors.New("not yet")
		}}}
	})
	r := newRaw(t, cfg)
	for range 2 {
		well.Store(false)
		for range 3 {
			if resp, body := r.do("GET", "/readyz", "", ""); resp.StatusCode != 500 || !strings.Contains(body, "[-]part failed: reason withheld") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		}
		well.Store(true)
		for range 3 {
			if resp, body := r.do("GET", "/readyz", "", ""); resp.StatusCode != 200 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		}
	}
	if failed, again := strings.Count(log.String(), "health check failed"), strings.Count(log.String(), "health check passes again"); failed != 2 || again != 2 {
		t.Errorf("%d lines say that it failed twice, %d that it passed again twice", failed, again)
	}
}

// TestHealthIsCounted: what monitors compute the server's objectives from.
func TestHealthIsCounted(t *testing.T) {
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.Ready = []apiserver.Check{{Name: "part", Check: func(context.Context) error { return errors.New("not yet") }}}
	})
	r := newRaw(t, cfg)
	for _, path := range []string{"/livez", "/readyz", "/readyz"} {
		r.do("GET", path, "", "")
	}
	resp, body := r.do("GET", "/metrics/slis", "", "")
	for _, want := range []string{
		`kubernetes_healthcheck{name="ping",type="livez"} 1`,
		`kubernetes_healthcheck{name="part",type="readyz"} 0`,
		`kubernetes_healthchecks_total{name="part",status="error",type="readyz"} 2`,
		`kubernetes_healthchecks_total{name="ping",status="success",type="livez"} 1`,
	} {
		if resp.StatusCode != 200 || !strings.Contains(body, want+"\n") {
			t.Errorf("%d %s; want %s", resp.StatusCode, body, want)
		}
	}
}
