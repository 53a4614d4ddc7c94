package apiserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
)

// lockedBuffer takes a log while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// TestHealthIsLoggedWhenItChanges: it is asked for every second, and one line says it.
func TestHealthIsLoggedWhenItChanges(t *testing.T) {
	var log lockedBuffer
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
	if failed, again := log.count("health check failed"), log.count("health check passes again"); failed != 2 || again != 2 {
		t.Errorf("%d lines say that it failed twice, %d that it passed again twice", failed, again)
	}
}
