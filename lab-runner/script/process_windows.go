package script

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

// OwnSession makes cmd run in a process group of its own, without a console window: Ctrl-C reaches it and its children,
// and only those. When cmd's context is done, all of them are ended.
func OwnSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
	cmd.Cancel = func() error { return killAll(cmd) }
}

// killAll ends cmd and its children, which are no group on Windows: taskkill goes from parent to child.
func killAll(cmd *exec.Cmd) error {
	tree := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
	return errors.Join(tree, cmd.Process.Kill())
}

// interruptAll sends Ctrl-Break to cmd's group: a group of its own does not receive Ctrl-C. Again: it is ended.
func interruptAll(cmd *exec.Cmd, again bool) error {
	if again {
		return killAll(cmd)
	}
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(cmd.Process.Pid))
}
