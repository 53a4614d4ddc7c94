package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"wheelhouse/cluster/kubelet/cgroup"
)

// freezer is the file that stops the processes of a control group and of those below it, and what is
// written to it.
type freezer struct{ file, frozen, thawed string }

// freezers are those of a cluster's containers: of version 1, of version 2, and of version 2 where
// systemd makes the groups. What does not exist is left out.
func freezers(root, cluster string) (list []freezer) {
	group := filepath.Join("wheelhouse", cluster)
	slice, of := cgroup.SliceOf(group), cgroup.SliceOf("wheelhouse")
	for _, f := range []freezer{
		{filepath.Join(root, "freezer", group, "freezer.state"), "FROZEN", "THAWED"},
		{filepath.Join(root, "freezer", of, slice, "freezer.state"), "FROZEN", "THAWED"},
		{filepath.Join(root, group, "cgroup.freeze"), "1", "0"},
		{filepath.Join(root, of, slice, "cgroup.freeze"), "1", "0"},
	} {
		if _, err := os.Stat(f.file); err == nil {
			list = append(list, f)
		}
	}
	return list
}

// freezeTimeout is how long processes may take to stop: one that waits for a disk does so first.
const freezeTimeout = 10 * time.Second

// freeze stops the node processes of a cluster and then its containers, all at once; resume
// continues them. They also continue when this process ends without a call of resume.
func freeze(ctx context.Context, cfg Config) (resume func() error, err error) {
	list := freezers(cgroupRoot, cfg.Name)
	nodes, err := allRunning(cfg.dir())
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(r running) bool { return r.Role != "node" || r.state() != stateRunning })
	stop, err := thawAtEnd(list, nodes)
	if err != nil {
		return nil, err
	}
	resume = func() error { return errors.Join(thaw(cfg.Name), signalAll(nodes, unix.SIGCONT), stop()) }
	if err := signalAll(nodes, unix.SIGSTOP); err != nil {
		return nil, errors.Join(err, resume())
	}
	for _, f := range list {
		if err := os.WriteFile(f.file, []byte(f.frozen), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("stopping the containers: %w", err), resume())
		}
	}
	err = wait.PollUntilContextTimeout(ctx, 2*time.Millisecond, freezeTimeout, true, func(context.Context) (bool, error) {
		for _, f := range list {
			if done, err := f.done(); err != nil || !done {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the containers do not stop: %w", err), resume())
	}
	return resume, nil
}

// done reports whether all processes have stopped.
func (f freezer) done() (bool, error) {
	file, want := f.file, f.frozen
	if filepath.Base(file) == "cgroup.freeze" {
		file, want = filepath.Join(filepath.Dir(file), "cgroup.events"), "frozen 1"
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // the last of its containers has gone
	}
	return strings.Contains(string(data), want), err
}

// signalAll sends a signal to processes, of which some may have ended.
func signalAll(list []running, what unix.Signal) error {
	var errs []error
	for _, r := range list {
		if err := unix.Kill(r.PID, what); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("signal to %s (pid %d): %w", r.ID, r.PID, err))
		}
	}
	return errors.Join(errs...)
}

// thaw continues the containers of a cluster, if they are stopped.
func thaw(cluster string) error {
	var errs []error
	for _, f := range freezers(cgroupRoot, cluster) {
		if err := os.WriteFile(f.file, []byte(f.thawed), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("continuing the containers: %w", err))
		}
	}
	return errors.Join(errs...)
}

// thawAtEnd starts a process that waits for the end of this one, and then continues the
// containers and the nodes; stop ends it.
func thawAtEnd(list []freezer, nodes []running) (stop func() error, err error) {
	script := "read -r _\n"
	for _, r := range nodes {
		script += fmt.Sprintf("kill -CONT %d\n", r.PID)
	}
	var args []string
	for i, f := range list {
		script += fmt.Sprintf("echo %s >\"$%d\"\n", f.thawed, i+1)
		args = append(args, f.file)
	}
	cmd := exec.Command("sh", append([]string{"-c", script + "true", "sh"}, args...)...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setsid: true}
	held, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the process that continues the containers: %w", err)
	}
	return func() error { return errors.Join(held.Close(), cmd.Wait()) }, nil
}
