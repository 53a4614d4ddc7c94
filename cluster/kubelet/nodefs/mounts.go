package nodefs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// MountTmpfs mounts a memory file system of at most size bytes (0: the kernel's
// default) unless something is mounted there.
func MountTmpfs(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	mounted, err := IsMountPoint(dir)
	if err != nil || mounted {
		return err
	}
	options := noswap
	if size > 0 {
		options += fmt.Sprintf(",size=%d", size)
	}
	err = unix.Mount("tmpfs", dir, "tmpfs", 0, options)
	if err != nil { // a kernel before 6.4
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, strings.TrimPrefix(strings.TrimPrefix(options, noswap), ","))
	}
	if err != nil {
		return fmt.Errorf("mount a tmpfs at %s: %w", dir, err)
	}
	return nil
}

// noswap is the mount option that keeps a memory file system out of swap.
const noswap = "noswap"

// NoSwap reports whether the kernel can keep memory file systems out of swap; it tries so in a
// new directory below dir.
func NoSwap(dir string) bool {
	at, err := os.MkdirTemp(dir, "noswap-")
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(at) }()
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, noswap); err != nil {
		return false
	}
	return unix.Unmount(at, unix.MNT_DETACH) == nil
}

// BindMount mounts an open file at a path below the pod's directory, where no container can put
// anything else, in place of what is mounted there. With unix.MS_REC in flags the mounts
// below the file come along. UnmountAndRemove removes it.
func BindMount(f *os.File, target string, flags uintptr) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := errors.Join(ignoreMissing(unix.Mount("", target, "", unix.MS_REC|unix.MS_PRIVATE, "")), ignoreMissing(unix.Unmount(target, unix.MNT_DETACH))); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o750)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o750); err == nil {
		err = os.WriteFile(target, nil, 0o640)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), target, "", unix.MS_BIND|flags, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

// IsMountPoint compares the directory's file system with its parent's.
func IsMountPoint(dir string) (bool, error) {
	var own, parent unix.Stat_t
	if err := unix.Lstat(dir, &own); err != nil {
		return false, err
	}
	if err := unix.Lstat(filepath.Dir(dir), &parent); err != nil {
		return false, err
	}
	return own.Dev != parent.Dev, nil
}

// ignoreMissing returns err, or nil where nothing is mounted or nothing exists.
func ignoreMissing(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// UnmountBelow unmounts all that is mounted at dir or below, deepest first. What a container
// has mounted in a volume with propagation stays where the volume comes from.
func UnmountBelow(dir string) error {
	points, err := MountsBelow(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range points {
		if err := ignoreMissing(unix.Mount("", p, "", unix.MS_PRIVATE, "")); err != nil {
			errs = append(errs, fmt.Errorf("separate %s: %w", p, err))
		}
	}
	for _, p := range points {
		if err := ignoreMissing(unix.Unmount(p, unix.MNT_DETACH)); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// MountsBelow lists the mounts at dir and below, deepest first. The kernel lists them by
// their real path, so links are followed: what is overlooked here would be removed.
func MountsBelow(dir string) ([]string, error) {
	dir, err := realPath(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount.Replace(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			out = append(out, point)
		}
	}
	sort.Slice(out, func(i, j int) bool { return len(out[i]) > len(out[j]) })
	return out, s.Err()
}

// realPath follows the links in a path, the end of which need not exist.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) && path != "/" {
		real, err = realPath(filepath.Dir(path))
		return filepath.Join(real, filepath.Base(path)), err
	}
	return real, err
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// UnmountAndRemove unmounts and removes a directory. It removes nothing while a mount
// stays mounted below, as that could be data of others.
func UnmountAndRemove(dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := UnmountBelow(dir); err != nil {
		return err
	}
	if left, err := MountsBelow(dir); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("still mounted: %s", strings.Join(left, ", ")))
	}
	return RemoveAll(dir)
}
