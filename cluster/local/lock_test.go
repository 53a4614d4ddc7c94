package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// Who holds the lock is named; who is stopped meanwhile is not waited for.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command("flock", "--no-fork", dir, "sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Signal(syscall.SIGCONT)
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	pid := fmt.Sprint("pid ", other.Process.Pid)
	try := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var out strings.Builder
		unlock, err := lock(ctx, dir, &out)
		if err == nil {
			unlock()
		}
		return out.String(), err
	}
	wait.For(t, "the wait names the other process", func() error {
		out, err := try()
		return wait.Seen(errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), pid) && strings.Contains(out, pid), out, err)
	})
	if err := other.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "an error that names the stopped process", func() error {
		_, err := try()
		return wait.Seen(err != nil && !errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "kill -CONT"), err)
	})
	_ = other.Process.Signal(syscall.SIGCONT)
	_ = other.Process.Kill()
	_ = other.Wait()
	wait.For(t, "the lock", func() error {
		unlock, err := lock(t.Context(), dir, io.Discard)
		if err == nil {
			unlock()
		}
		return err
	})
}
