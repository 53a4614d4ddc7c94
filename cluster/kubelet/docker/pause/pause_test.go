package pause_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"wheelhouse/cluster/kubelet/docker/pause"
)

// The program runs until it is told to end, and then ends with success.
func TestProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pause")
	if err := os.WriteFile(path, pause.Program(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// A SIGCHLD without a child must not end it.
		for _, s := range []syscall.Signal{syscall.SIGCHLD, sig} {
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatalf("send %v: %v", s, err)
			}
		}
		err := cmd.Wait()
		// The signal may come before the program has blocked it.
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && !(ws.Signaled() && ws.Signal() == sig) {
			t.Errorf("after %v: %v", sig, err)
		}
	}
}
