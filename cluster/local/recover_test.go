//go:build !quick

package local_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wheelhouse/cluster/local"
	"wheelhouse/cluster/wait"
)

// A process whose starter was killed before it wrote the record has the ports: it is replaced.
func TestProcessWithoutARecord(t *testing.T) {
	cfg := config(t, "unrec")
	cfg.Nodes = 0
	up(t, cfg)
	first := pids(t, cfg)["server"]
	sh(t, "rm "+filepath.Join(cfg.StateDir, cfg.Name, "run", "server.json"))
	if err := local.Runs(cfg); err == nil {
		t.Error("it counts as running")
	}
	up(t, cfg)
	if second := pids(t, cfg)["server"]; second == first || second == "dead" {
		t.Errorf("the server is %s, and was %s", second, first)
	}
	if _, err := os.Stat("/proc/" + first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first one is there: %v", err)
	}
	if err := local.Runs(cfg); err != nil {
		t.Error(err)
	}
	kill(t, pids(t, cfg)["server"], syscall.SIGKILL)
	wait.For(t, "its end", func() error { return wait.Seen(local.Runs(cfg) != nil, local.Runs(cfg)) })
}

// Of a sealed cluster the state stays until everything else is gone, since by it the rest is found.
func TestSealedStateGoesLast(t *testing.T) {
	cfg := config(t, "sealed")
	dir := filepath.Join(cfg.StateDir, cfg.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"name":"` + cfg.Name + `","nodes":1,"sealed":true,"subnets":{"lan":"10.245.1.0/24","pods":"10.246.0.0/16","services":"10.247.0.0/16"}}`
	if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	var out bytes.Buffer
	if err := local.Down(t.Context(), cfg, &out); err == nil || !strings.Contains(err.Error(), "for the next try") {
		t.Errorf("down: %v", err)
	}
	if exists, sealed, err := local.Sealed(cfg); !exists || !sealed || err != nil {
		t.Errorf("it is there: %v, sealed: %v, %v", exists, sealed, err)
	}
	t.Setenv("DOCKER_HOST", "")
	down(t, cfg)
	if exists, _, err := local.Sealed(cfg); exists || err != nil {
		t.Errorf("it is there: %v, %v", exists, err)
	}
}
