package kubelet

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// disk is the file system that a node's host paths are on.
type disk interface {
	MkdirAll(name string, mode fs.FileMode) error
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	OpenRoot(name string) (*os.Root, error)
}

// machine is the disk of a node that is the machine itself.
type machine struct{}

func (machine) MkdirAll(name string, mode fs.FileMode) error { return os.MkdirAll("/"+name, mode) }
func (machine) OpenRoot(name string) (*os.Root, error)       { return os.OpenRoot("/" + name) }
func (machine) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile("/"+name, flag, mode)
}

// onDisk opens the disk below root, the machine's own if that is empty, and returns where
// a path of it leads. Below a root, links mean what they mean to a process whose / is that
// folder, and never lead to another node's disk or the machine's: os.Root refuses a link
// that is made after the look at it.
func onDisk(root, path string) (d disk, at string, done func(), err error) {
	at = cmp.Or(strings.TrimPrefix(filepath.Clean("/"+path), "/"), ".")
	if root == "" {
		return machine{}, at, func() {}, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, "", nil, err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, "", nil, err
	}
	done = func() { _ = r.Close() }
	if at, err = follow(r, at); err != nil {
		done()
		return nil, "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, at, done, nil
}

// errLink is returned for a symbolic link where none was a moment ago.
var errLink = errors.New("it is a symbolic link")

// hold opens a path of a disk without opening what is there: a device or a pipe does not
// notice. Whatever is renamed or linked later, the file stays what was looked at.
func hold(d disk, at string) (*os.File, fs.FileMode, error) {
	f, err := d.OpenFile(at, unix.O_PATH, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = errLink
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Mode(), nil
}

// maxLinks is how many links a path may lead over, as the kernel's limit.
const maxLinks = 40

// follow gives the path without links that a path leads to on a disk. What does not exist
// has no links.
func follow(r *os.Root, path string) (string, error) {
	at, links := ".", 0
	for ahead := strings.Split(path, "/"); len(ahead) > 0; {
		next := filepath.Join(at, ahead[0])
		ahead = ahead[1:]
		if next == ".." {
			next = "." // as at /
		}
		target, err := r.Readlink(next)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL):
			at = next
			continue
		case err != nil:
			return "", err
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		if filepath.IsAbs(target) {
			at = "."
		}
		ahead = slices.Concat(strings.FieldsFunc(target, func(c rune) bool { return c == '/' }), ahead)
	}
	return at, nil
}

// hostPath is a path of the node as a volume, made where its type asks for that.
func (v *volumes) hostPath(name string, spec *v1.HostPathVolumeSource) (volume, error) {
	f, mode, err := openHostPath(v.k.config.HostRoot, spec)
	if err != nil {
		return volume{}, err
	}
	defer f.Close()
	path, err := v.pinned(name, spec.Path, f)
	return volume{path: path, file: !mode.IsDir()}, err
}

// pinned is where the runtime finds a place of the node's disk that is held open. On a disk
// of the node's own it is a mount below the pod's folder, which no pod can reach: on the
// disk itself a pod could put a link there before the runtime mounts it. On the machine's
// disk it is the path, as upstream: who may use host paths there is root on the machine.
func (v *volumes) pinned(name, path string, f *os.File) (string, error) {
	if v.k.config.HostRoot == "" {
		return filepath.Clean("/" + path), nil
	}
	target := v.path("host-path", name)
	if same, err := sameAs(f, target); err != nil || same {
		return target, err
	}
	return target, pin(f, target, unix.MS_REC)
}

func sameAs(f *os.File, path string) (bool, error) {
	have, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	want, err := f.Stat()
	return err == nil && os.SameFile(have, want), err
}

// openHostPath holds a host path, which it makes where the type asks for that, and checks
// that it is of the type. As with Docker's own binds, a path of no type is made a folder.
func openHostPath(root string, spec *v1.HostPathVolumeSource) (*os.File, fs.FileMode, error) {
	kind := v1.HostPathUnset
	if spec.Type != nil {
		kind = *spec.Type
	}
	d, at, done, err := onDisk(root, spec.Path)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	f, mode, err := hold(d, at)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeHostPath(d, at, kind); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", spec.Path, err)
		}
		f, mode, err = hold(d, at)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s: %w", spec.Path, err)
	}
	if err == nil && isOfType(mode, kind) {
		return f, mode, nil
	}
	if err == nil {
		f.Close()
	}
	return nil, 0, fmt.Errorf("hostPath type check failed: %s is not a %s", spec.Path, hostPathKinds[kind])
}

func isOfType(mode fs.FileMode, kind v1.HostPathType) bool {
	switch kind {
	case v1.HostPathDirectory, v1.HostPathDirectoryOrCreate:
		return mode.IsDir()
	case v1.HostPathFile, v1.HostPathFileOrCreate:
		return mode.IsRegular()
	case v1.HostPathSocket:
		return mode&fs.ModeSocket != 0
	case v1.HostPathCharDev:
		return mode&fs.ModeCharDevice != 0
	case v1.HostPathBlockDev:
		return isBlockDevice(mode)
	}
	return true
}

func isBlockDevice(mode fs.FileMode) bool {
	return mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0
}

func makeHostPath(d disk, path string, kind v1.HostPathType) error {
	switch kind {
	case v1.HostPathUnset, v1.HostPathDirectoryOrCreate:
		return d.MkdirAll(path, 0o755)
	case v1.HostPathFileOrCreate:
		f, err := d.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return nil
}

var hostPathKinds = map[v1.HostPathType]string{
	v1.HostPathDirectory: "directory", v1.HostPathDirectoryOrCreate: "directory",
	v1.HostPathFile: "file", v1.HostPathFileOrCreate: "file",
	v1.HostPathSocket: "socket", v1.HostPathCharDev: "character device", v1.HostPathBlockDev: "block device",
}
