package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"

	"wheelhouse/cluster/kubelet/cgroup"
)

// Down removes the cluster, whatever there is of it: also what a crash has left, and
// without its record. What cannot be removed (containers while Docker is down) does
// not keep the rest; the error names it, and Down can be called again.
func Down(ctx context.Context, cfg Config, out io.Writer) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	if err := requireRoot("down"); err != nil {
		return err
	}
	if _, err := os.Stat(cfg.dir()); errors.Is(err, fs.ErrNotExist) {
		defer func() { // what lock creates, if it is empty: data that are kept are none
			_ = os.Remove(cfg.dir())
			_ = os.Remove(cfg.StateDir)
		}()
	}
	unlock, err := lock(ctx, cfg.dir(), out)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := load(cfg.dir())
	sealed := err == nil && rec.Sealed
	// Processes first, since they would recreate the rest.
	var failed []error
	for _, s := range []struct {
		name string
		do   func() error
	}{
		{"processes", func() error { return errors.Join(thaw(cfg.Name), stopAll(ctx, cfg)) }},
		{"containers", func() error { return removeContainers(ctx, cfg, "") }},
		{"mounts", func() error { return unmountBelow(cfg.dir()) }},
		{"cgroups", func() error {
			return errors.Join(removeCgroups(ctx, "/wheelhouse/"+cfg.Name), removeGroups(ctx, cgroupRoot, "/"+sealedGroup(cfg.Name)))
		}},
		{"network", func() error { return removeNetwork(cfg.Name) }},
		{"state", func() error {
			if sealed && len(failed) > 0 { // whose owner has found a way to keep something: it is still found by its name
				return fmt.Errorf("kept in %s, for the next try", cfg.dir())
			}
			return removeState(ctx, cfg)
		}},
	} {
		if err := s.do(); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintf(out, "  %-10s not all removed: %v\n", s.name, err)
			continue
		}
		fmt.Fprintf(out, "  %-10s %s\n", s.name, map[bool]string{true: "kept in " + cfg.dir(), false: "gone"}[s.name == "state" && cfg.KeepData])
	}
	if len(failed) > 0 {
		return fmt.Errorf("cluster %s is not completely removed; fix this and run down again: %w", cfg.Name, errors.Join(failed...))
	}
	return nil
}

func stopAll(ctx context.Context, cfg Config) error {
	// Processes with an unreadable record are found by their namespace.
	list, _ := allRunning(cfg.dir())
	names, err := clusterNS(cfg.Name)
	if err != nil {
		return err
	}
	others, err := unrecorded(names)
	if err != nil {
		return err
	}
	for _, o := range others {
		if !slices.ContainsFunc(list, func(r running) bool { return r.PID == o.PID && r.Start == o.Start }) {
			list = append(list, o)
		}
	}
	return stop(ctx, list)
}

// cgroupRoot is the mount point of cgroups: version 1 has a directory for each controller,
// version 2 is the root.
const cgroupRoot = "/sys/fs/cgroup"

// emptyTimeout is how long the kernel may count processes that have exited.
const emptyTimeout = 10 * time.Second

// removeCgroups removes a group, such as /wheelhouse/CLUSTER, and those below it: they are above
// containers, and the Docker Engine creates and leaves them, or systemd where that is its
// driver. Only directories are removed, the deepest first, and those above if they are empty.
func removeCgroups(ctx context.Context, group string) error {
	var errs []error
	if cgroup.SystemdRuns() {
		errs = append(errs, cgroup.NewSystemd(cgroup.At(cgroupRoot).Unified()).StopAll(ctx, group))
	}
	return errors.Join(append(errs, removeGroups(ctx, cgroupRoot, group))...)
}

// removeGroups removes a group below root, which is a hierarchy itself (version 2) or has a
// directory for each (version 1), and files.
func removeGroups(ctx context.Context, root, group string) error {
	ctx, cancel := context.WithTimeout(ctx, emptyTimeout)
	defer cancel()
	first, _, _ := strings.Cut(strings.TrimPrefix(group, "/"), "/")
	var errs []error
	for _, pattern := range []string{filepath.Join(root, first), filepath.Join(root, "*", first)} {
		found, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, top := range found {
			hierarchy := filepath.Dir(top)
			errs = append(errs, removeGroup(ctx, filepath.Join(hierarchy, group)))
			for above := filepath.Dir(group); above != "/"; above = filepath.Dir(above) {
				_ = os.Remove(filepath.Join(hierarchy, above)) // unless others have groups in it
			}
		}
	}
	return errors.Join(errs...)
}

func removeGroup(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, removeGroup(ctx, filepath.Join(dir, e.Name())))
		}
	}
	// The kernel counts a process for a moment after its exit.
	_ = wait.PollUntilContextCancel(ctx, pollEvery, true, func(context.Context) (bool, error) {
		err = unix.Rmdir(dir)
		return !errors.Is(err, unix.EBUSY), nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("control group %s: %w", dir, err))
	}
	return errors.Join(errs...)
}

// unmountBelow removes the mounts below dir, the deepest first.
func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow lists the mounts below dir by its real path, as the kernel does: through a link
// none would be found, and their content would be removed.
func mountsBelow(dir string) (points []string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			if p := unescape.Replace(fields[4]); strings.HasPrefix(p, dir+"/") {
				points = append(points, p)
			}
		}
	}
	return points, lines.Err()
}

func removeState(ctx context.Context, cfg Config) error {
	if cfg.KeepData {
		return os.RemoveAll(filepath.Join(cfg.dir(), "run"))
	}
	// Never through a mount that could not be removed: it may have data of others.
	if points, err := mountsBelow(cfg.dir()); err != nil || len(points) > 0 {
		return errors.Join(err, fmt.Errorf("%s is kept, since something is mounted below: %s", cfg.dir(), strings.Join(points, ", ")))
	}
	if err := discard(ctx, cfg.StateDir, cfg.dir()); err != nil {
		return err
	}
	_ = os.Remove(cfg.StateDir) // if it is empty
	return nil
}
