package cgroup

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Kept are the limits that groups have had at a first look, so that they get them back after another program has changed them.
// They serve groups whose limits somebody else has written, such as those of containers: how a runtime converts a limit
// depends on its release.
//
// Kept are not safe for concurrent use.
type Kept struct{ groups map[string]kept }

type kept struct {
	path, version string
	values        map[string]string // by file
}

// Restore gives the group at path the limits back that were found by the first call with this key, path and version, and reports
// whether it had others. A group that has ended is no error.
func (k *Kept) Restore(g Groups, key, path, version string) (changed bool, err error) {
	now, err := g.limitFiles(path)
	if err != nil {
		return false, err
	}
	first, known := k.groups[key]
	if !known || first.path != path || first.version != version || len(now) == 0 {
		if k.groups == nil {
			k.groups = map[string]kept{}
		}
		k.groups[key] = kept{path, version, now}
		return false, nil
	}
	var errs []error
	for file, value := range first.values {
		if now[file] == value {
			continue
		}
		err := os.WriteFile(file, []byte(value), 0o644)
		switch {
		case err == nil:
			changed = true
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV): // else the group has ended
			errs = append(errs, err)
		}
	}
	return changed, errors.Join(errs...)
}

// Retain removes the limits of the groups with other keys.
func (k *Kept) Retain(keys map[string]bool) {
	maps.DeleteFunc(k.groups, func(key string, _ kept) bool { return !keys[key] })
}

// limitFiles reads the files of a group that limit it, those that the kernel has.
func (g Groups) limitFiles(path string) (map[string]string, error) {
	names := [][2]string{
		{"cpu", "cpu.shares"}, {"cpu", "cpu.cfs_period_us"}, {"cpu", "cpu.cfs_quota_us"}, {"memory", "memory.limit_in_bytes"}, {"pids", "pids.max"},
	}
	if g.unified {
		names = [][2]string{{"", "cpu.weight"}, {"", "cpu.max"}, {"", "memory.max"}, {"", "memory.swap.max"}, {"", "pids.max"}}
	}
	values := map[string]string{}
	for _, name := range names {
		file := g.file(name[0], path, name[1])
		text, err := os.ReadFile(file)
		if err == nil {
			values[file] = strings.TrimSpace(string(text))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return values, nil
}
