//go:build !windows

package script

import (
	"os/exec"
	"syscall"
)

// OwnSession makes cmd run in a session of its own: signals reach it and its children, and only those, and none of them
// has the terminal (/dev/tty). When cmd's context is done, all of them are killed.
func OwnSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return killAll(cmd) }
}

// killAll kills cmd and its children. One that is gone already is no error that a caller looks at.
func killAll(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// interruptAll sends SIGINT to cmd and its children, or again SIGTERM: children of a background job may ignore the first.
func interruptAll(cmd *exec.Cmd, again bool) error {
	if again {
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
}
