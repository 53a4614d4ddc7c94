// Package cgroup reads and writes control groups, of version 1 and of version 2: the
// groups above a pod's containers, and what any group uses. It never moves a process,
// and is independent of pods.
//
// A group is named by its path below the mount point, as /proc/PID/cgroup has it. In
// version 1 it is the same path in each controller's hierarchy. One whose name ends in .slice
// is systemd's, and is limited and removed over D-Bus (systemd.go).
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Groups are the control groups mounted at a place.
type Groups struct {
	root    string
	unified bool // version 2: one hierarchy
	systemd *Systemd
}

// defaultPeriod is the period of quotas, in microseconds.
const defaultPeriod = 100_000

// At are the groups mounted at root, which is /sys/fs/cgroup but for tests.
func At(root string) Groups {
	_, err := os.Stat(filepath.Join(root, "cgroup.controllers"))
	return Groups{root, err == nil, NewSystemd(err == nil)}
}

// Unified reports whether they are of version 2.
func (g Groups) Unified() bool { return g.unified }

// Limits of a group; zero is no limit, and of CPUShares the least.
type Limits struct {
	CPUShares, CPUQuota, CPUPeriod int64 // microseconds, as in CFS
	Memory, Pids                   int64 // bytes, processes
	NoSwap                         bool  // none of its memory is swapped; has no effect in version 1
}

// Of is the group that a process is in: in version 1 the one that counts its memory.
func Of(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	return parseOf(string(data))
}

func parseOf(text string) (string, error) {
	unified := ""
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers == "" {
			unified = path
		}
		for name := range strings.SplitSeq(controllers, ",") {
			if name == "memory" {
				return path, nil
			}
		}
	}
	if unified == "" {
		return "", errors.New("the process is in no control group")
	}
	return unified, nil
}

// Limit sets a group's limits, and reports whether it had others. The group must exist. Those of
// a slice are properties of its unit as well.
func (g Groups) Limit(ctx context.Context, path string, l Limits) (changed bool, err error) {
	defer took("update", time.Now())
	if IsSlice(path) {
		l = wholePercent(l)
	}
	if changed, err = g.write(path, l, false); err == nil && changed && IsSlice(path) {
		err = g.systemd.Limit(ctx, filepath.Base(path), l)
	}
	if err != nil {
		return changed, err
	}
	_, err = g.write(path, l, true)
	return changed, err
}

// write writes the limits that a group does not have already, and reports whether there are
// any; with really false it only reports.
func (g Groups) write(path string, l Limits, really bool) (changed bool, err error) {
	set := func(controller, file, value string) error {
		name := g.file(controller, path, file)
		old, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if sameLimit(file, strings.TrimSpace(string(old)), value) {
			return nil
		}
		if changed = true; !really {
			return nil
		}
		return os.WriteFile(name, []byte(value), 0o644)
	}
	number := func(n int64, none string) string {
		if n <= 0 {
			return none
		}
		return strconv.FormatInt(n, 10)
	}
	if g.unified {
		period := max(l.CPUPeriod, defaultPeriod)
		err = errors.Join(
			set("", "cpu.weight", strconv.FormatInt(weight(l.CPUShares), 10)),
			set("", "cpu.max", number(l.CPUQuota, "max")+" "+strconv.FormatInt(period, 10)),
			set("", "memory.max", number(l.Memory, "max")),
			set("", "pids.max", number(l.Pids, "max")))
		if l.NoSwap {
			if swap := set("", "memory.swap.max", "0"); !errors.Is(swap, fs.ErrNotExist) { // a kernel that cannot limit swap
				err = errors.Join(err, swap)
			}
		}
		return changed, err
	}
	errs := []error{set("cpu", "cpu.shares", strconv.FormatInt(max(l.CPUShares, 2), 10))}
	if l.CPUPeriod > 0 {
		errs = append(errs, set("cpu", "cpu.cfs_period_us", strconv.FormatInt(l.CPUPeriod, 10)))
	}
	err = errors.Join(append(errs,
		set("cpu", "cpu.cfs_quota_us", number(l.CPUQuota, "-1")),
		set("memory", "memory.limit_in_bytes", number(l.Memory, "-1")),
		set("pids", "pids.max", number(l.Pids, "max")))...)
	return changed, err
}

// sameLimit reports whether a file has a value already. The kernel counts memory in pages, and
// version 1 reports no limit as the largest number of pages.
func sameLimit(file, have, want string) bool {
	if have == want || !strings.HasPrefix(file, "memory.") {
		return have == want
	}
	page := int64(os.Getpagesize())
	h, errHave := strconv.ParseInt(have, 10, 64)
	w, errWant := strconv.ParseInt(want, 10, 64)
	if errHave != nil || errWant != nil {
		return false
	}
	return w < 0 && h >= math.MaxInt64/page*page || h == w/page*page
}

// weight is version 2's measure for version 1's shares, as the container runtimes
// convert it.
func weight(shares int64) int64 {
	return 1 + (max(shares, 2)-2)*9999/262142
}

// Remove removes a group and those below it in every hierarchy. What a process is still
// in stays, and is an error for which errors.Is(err, syscall.EBUSY) is true. A slice, by its
// path or its name alone, is stopped.
func (g Groups) Remove(ctx context.Context, path string) error {
	defer took("destroy", time.Now())
	if IsSlice(path) {
		return g.systemd.Stop(ctx, filepath.Base(path))
	}
	if path == "" || path == "/" || !strings.HasPrefix(path, "/") {
		return nil
	}
	roots := []string{filepath.Join(g.root, path)}
	if !g.unified {
		controllers, _ := os.ReadDir(g.root)
		for _, c := range controllers {
			if c.IsDir() {
				roots = append(roots, filepath.Join(g.root, c.Name(), path))
			}
		}
	}
	var errs []error
	for _, dir := range roots {
		errs = append(errs, removeTree(dir))
	}
	return errors.Join(errs...)
}

// Below returns the paths of the groups directly below one of cgroupfs, and of those below the slice that stands for it.
func (g Groups) Below(group string) (paths []string) {
	for _, above := range []string{group, slicePath(SliceOf(group))} {
		entries, _ := os.ReadDir(g.file("memory", above, "")) // neither need exist
		for _, e := range entries {
			if e.IsDir() {
				paths = append(paths, filepath.Join(above, e.Name()))
			}
		}
	}
	return paths
}

// removeTree removes directories only: the files beside them are the kernel's.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if e.IsDir() {
			errs = append(errs, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ConfineMemory moves a process to a group, which it makes if there is none, whose processes may have so many bytes together.
func (g Groups) ConfineMemory(path string, bytes int64, pid int) error {
	limit := "memory.limit_in_bytes"
	if g.unified {
		limit = "memory.max"
	}
	const controller = "memory"
	if err := os.MkdirAll(g.file(controller, path, ""), 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(g.file(controller, path, limit), strconv.AppendInt(nil, bytes, 10), 0o644),
		os.WriteFile(g.file(controller, path, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0o644))
}

func (g Groups) file(controller, path, name string) string {
	if g.unified {
		controller = ""
	}
	return filepath.Join(g.root, controller, path, name)
}
