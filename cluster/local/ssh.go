package local

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/osthread"
)

// Streams are what a command on a node is connected to. Files, such as a terminal,
// are handed over as they are.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// SSH runs a command in a node's network namespace, or a login shell if command is
// empty, and returns its exit status; err is set only if it could not be run. One
// argument is a line for the shell, as with ssh; several are run without a shell. The
// host name of the command is the node's name, which is also in WHEELHOUSE_NODE and, in
// most shells, in the prompt.
func SSH(cfg Config, node string, command []string, s Streams) (status int, err error) {
	cfg, rec, err := existing(cfg)
	if err != nil {
		return 0, err
	}
	if err := requireRoot("ssh"); err != nil {
		return 0, err
	}
	n, ok := rec.find(node)
	if !ok {
		var names []string
		for _, n := range rec.nodes() {
			names = append(names, n.Name)
		}
		return 0, fmt.Errorf("cluster %s has no node %q; there are %s", rec.Name, node, strings.Join(names, ", "))
	}
	ns, err := netns.GetFromPath(filepath.Join(netnsDir, rec.nodeNS(n)))
	if err != nil {
		return 0, fmt.Errorf("node %s has no network namespace; repair it with wheelhouse up: %w", node, err)
	}
	defer func() { _ = ns.Close() }()
	cmd := shellCommand(command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.Env = append(os.Environ(), "WHEELHOUSE_CLUSTER="+rec.Name, "WHEELHOUSE_NODE="+n.Name, "WHEELHOUSE_NODE_IP="+n.IP.String(),
		"KUBECONFIG="+KubeconfigPath(cfg.Name, cfg.StateDir))
	// The terminal's signals go to the command; this process waits for its exit.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM)
	defer signal.Stop(signals)
	osthread.Apart(func() { err = startOn(cmd, ns, n.Name) })
	if err != nil {
		return 0, fmt.Errorf("node %s: %w", node, err)
	}
	ended := make(chan struct{})
	go hangUp(cmd.Process, signals, ended)
	err = cmd.Wait()
	close(ended)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

func startOn(cmd *exec.Cmd, ns netns.NsHandle, hostname string) error {
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("own host name: %w", err)
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("own host name: %w", err)
	}
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	return cmd.Start()
}

func shellCommand(command []string) *exec.Cmd {
	shell := cmp.Or(os.Getenv("SHELL"), "/bin/sh")
	switch len(command) {
	case 0:
		return exec.Command(shell, "-l")
	case 1:
		return exec.Command("/bin/sh", "-c", command[0])
	}
	return exec.Command(command[0], command[1:]...)
}

// hangUp sends the login's process what the end of a connection sends when this process is
// to terminate. It returns when the process has ended.
func hangUp(p *os.Process, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM {
				_ = p.Signal(syscall.SIGHUP) // fails only if it has exited
			}
		case <-ended:
			return
		}
	}
}
