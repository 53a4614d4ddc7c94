//go:build !quick

package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/local"
)

// TestDownAfterACrash: no record, no pid files, a daemon still running, a mount and
// a container.
func TestDownAfterACrash(t *testing.T) {
	cfg := config(t, "crash")
	up(t, cfg)
	dir := filepath.Join(cfg.StateDir, cfg.Name)
	sh(t, fmt.Sprintf("rm -r %[1]s/run %[1]s/cluster.json; mkdir -p %[1]s/nodes/x/tmp; mount -t tmpfs none %[1]s/nodes/x/tmp", dir))
	image := "wheelhouse-test:" + cfg.Name
	sh(t, "mkdir "+dir+"/empty; tar -C "+dir+"/empty -c . | docker import - "+image)
	t.Cleanup(func() { sh(t, "docker rmi "+image) })
	sh(t, "docker create --label wheelhouse.cluster="+cfg.Name+" "+image+" none")
	other := sh(t, "docker create --label wheelhouse.cluster="+cfg.Name+"-other "+image+" none")
	t.Cleanup(func() { sh(t, "docker rm -f "+other) })
	down(t, cfg)
	if left := traces(t, cfg); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if got := sh(t, "docker ps -aq --no-trunc --filter id="+other); got != other {
		t.Error("somebody else's container is gone")
	}
}

func TestDownWithoutDocker(t *testing.T) {
	cfg := config(t, "nodocker")
	cfg.Nodes = 1
	up(t, cfg)
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	var out bytes.Buffer
	err := local.Down(t.Context(), cfg, &out)
	if err == nil || !strings.Contains(err.Error(), "Docker does not answer") {
		t.Errorf("down: %v", err)
	}
	if left := traces(t, cfg); left != "" {
		t.Errorf("the rest is left behind:\n%s", left)
	}
	if err := local.Up(t.Context(), cfg, &out); err == nil || !strings.Contains(err.Error(), "start it") {
		t.Errorf("up: %v", err)
	}
	t.Setenv("DOCKER_HOST", "")
	down(t, cfg)
}

// TestRecycledPid: a record names a pid that somebody else has by now.
func TestRecycledPid(t *testing.T) {
	cfg := config(t, "pid")
	cfg.Nodes = 0
	up(t, cfg)
	kill(t, pids(t, cfg)["server"], syscall.SIGKILL)
	pid, _, _ := nettest.Process(t)
	file := filepath.Join(cfg.StateDir, cfg.Name, "run", "server.json")
	sh(t, fmt.Sprintf(`sed -i 's/"pid": [0-9]*/"pid": %d/' %s`, pid, file))
	if s := pids(t, cfg)["server"]; s != "dead" {
		t.Errorf("somebody else's process counts as the server: %s", s)
	}
	down(t, cfg)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("down killed somebody else's process: %v", err)
	}
}

// TestDownOfNothing: `down` of a cluster that never was leaves no directory, whether data are kept or not.
func TestDownOfNothing(t *testing.T) {
	for _, keep := range []bool{false, true} {
		cfg := local.Config{Name: "nothing", StateDir: filepath.Join(t.TempDir(), "state"), KeepData: keep}
		if err := local.Down(t.Context(), cfg, io.Discard); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(cfg.StateDir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with KeepData %t the directory is there: %v", keep, err)
		}
	}
}
