//go:build !quick

package pause_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/docker/pause"
)

// The program runs until it is stopped, and then ends with success.
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

// Where /netns stands for a network namespace, the program moves there.
func TestJoin(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, pause.Path), pause.Program(), 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(root, pause.NetNS)
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	start := func(chroot string, flags uintptr) *exec.Cmd {
		cmd := exec.Command(filepath.Join(root, pause.Path))
		if chroot != "" {
			cmd.Path = pause.Path
		}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: chroot, Cloneflags: flags}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	home := start("", syscall.CLONE_NEWNET)
	file := func(cmd *exec.Cmd) string { return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid) }
	if err := unix.Mount(file(home), target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(target, unix.MNT_DETACH) }()
	want, err := os.Readlink(file(home))
	if err != nil {
		t.Fatal(err)
	}
	guest, last := start(root, 0), ""
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if last, err = os.Readlink(file(guest)); err == nil && last == want {
			return
		}
	}
	t.Errorf("the program is in %s (%v), want %s", last, err, want)
}

// What cannot be joined ends the program: a sandbox must not be somewhere else.
func TestJoinFails(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string][]byte{pause.Path: pause.Program(), pause.NetNS: nil} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe") // the path that is meant is not there before the chroot
	cmd.Path, cmd.Dir, cmd.SysProcAttr = pause.Path, "/", &syscall.SysProcAttr{Chroot: root}
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ends with %v, want exit code 1", err)
	}
}
