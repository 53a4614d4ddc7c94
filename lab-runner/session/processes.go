package session

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// endProcesses ends what runs in the background of the lab's shells, such as a port-forward or a client: it belongs to
// the state that is removed. It spares the learner's shells, what runs in the foreground of a terminal, and the
// programs that called this one. On systems without /proc it does nothing.
func endProcesses(dir string) {
	found, _ := filepath.Glob("/proc/[0-9]*")
	ours := ancestors()
	for _, proc := range found {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err != nil || slices.Contains(ours, pid) {
			continue
		}
		env, err := os.ReadFile(filepath.Join(proc, "environ"))
		if err != nil || !slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == marker+dir }) {
			continue
		}
		if cmdline, err := os.ReadFile(filepath.Join(proc, "cmdline")); err != nil || spared(cmdline) || inForeground(proc) {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Signal(syscall.SIGTERM) // gone already is as good
		}
	}
}

// spared reports whether a command line is of a learner's shell, or of a lab command.
func spared(cmdline []byte) bool {
	args := strings.Split(string(cmdline), "\x00")
	name := filepath.Base(args[0])
	return slices.Contains(args, "--rcfile") || name == "lab" || name == "wheelhouse"
}

// stat returns the numbers of /proc/PID/stat after the name: parent, process group, session, terminal, and the
// foreground group of the terminal.
func stat(proc string) (numbers []int) {
	text, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(text, ')') // a name may have blanks and parentheses
	fields := strings.Fields(string(text[i+1:]))
	for _, f := range fields[min(1, len(fields)):min(6, len(fields))] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}

func inForeground(proc string) bool {
	n := stat(proc)
	return len(n) == 5 && n[4] > 0 && n[1] == n[4]
}

// ancestors returns this process and those that started it.
func ancestors() []int {
	out := []int{os.Getpid()}
	for pid := os.Getpid(); pid > 1; {
		n := stat(filepath.Join("/proc", strconv.Itoa(pid)))
		if len(n) == 0 {
			break
		}
		pid = n[0]
		out = append(out, pid)
	}
	return out
}
