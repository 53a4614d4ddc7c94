//go:build !quick

package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/wait"
)

// A server that needs long is waited for: Up prints what it sees meanwhile, and is done when the
// server is. One that needs longer than the timeout ends Up with what was seen and the flag.
func TestSlowServer(t *testing.T) {
	cfg := config(t, "slow")
	cfg.Nodes, cfg.Progress = 0, 100*time.Millisecond
	slow := filepath.Join(cfg.StateDir, cfg.Name, "slow")
	for _, err := range []error{os.MkdirAll(filepath.Dir(slow), 0o700), os.WriteFile(slow, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	short := cfg
	short.Timeout = 2 * time.Second
	err := local.Up(t.Context(), short, t.Output())
	if err == nil || !strings.Contains(err.Error(), "etcd is still opening") || !strings.Contains(err.Error(), "after 2s; --timeout") {
		t.Errorf("after the timeout: %v", err)
	}

	var out wait.Output
	ended := make(chan error, 1)
	cfg.Timeout = time.Minute
	go func() { ended <- local.Up(t.Context(), cfg, &out) }()
	wait.Within(t, time.Minute, "two lines about the server that is slow", func() error {
		select {
		case err := <-ended:
			t.Fatalf("up has ended: %v\n%s", err, out.String())
		default:
		}
		return wait.Seen(strings.Count(out.String(), "of 60 s: /readyz: 500") > 1, out.String())
	})
	if err := os.Remove(slow); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !strings.Contains(out.String(), "is ready") {
		t.Errorf("when the server is ready: %v\n%s", err, out.String())
	}
}
