package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"
)

// disk is where a node's host paths lie.
type disk interface {
	Stat(name string) (fs.FileInfo, error)
	MkdirAll(name string, mode fs.FileMode) error
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
}

// machine is the disk of a node that is the machine itself.
type machine struct{}

func (machine) Stat(name string) (fs.FileInfo, error)        { return os.Stat("/" + name) }
func (machine) MkdirAll(name string, mode fs.FileMode) error { return os.MkdirAll("/"+name, mode) }
func (machine) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile("/"+name, flag, mode)
}

// onDisk opens the disk below root, the machine's own if that is empty, and tells where
// a path of it leads. Below a root, links mean what they mean to somebody whose / is that
// folder, and never lead to another node's disk or the machine's: should such a link be
// made in the meantime, os.Root refuses it.
func onDisk(root, path string) (d disk, at string, done func(), err error) {
	at = orElse(strings.TrimPrefix(filepath.Clean("/"+path), "/"), ".")
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
func hostPath(root, path string, kind v1.HostPathType) (volume, error) {
	d, at, done, err := onDisk(root, path)
	if err != nil {
		return volume{}, err
	}
	defer done()
	mode, ok, err := checkHostPath(d, at, kind)
	if err != nil {
		return volume{}, err
	}
	if !ok {
		return volume{}, fmt.Errorf("hostPath type check failed: %s is not a %s", path, hostPathKinds[kind])
	}
	return volume{path: filepath.Join("/", root, at), file: !mode.IsDir()}, nil
}

// checkHostPath makes what the type asks to be made, and checks what is there. As
// with Docker's own binds, a path of no type is made a folder.
func checkHostPath(d disk, path string, kind v1.HostPathType) (mode fs.FileMode, ok bool, err error) {
	info, err := d.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeHostPath(d, path, kind); err != nil {
			return 0, false, err
		}
		info, err = d.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	mode, ok = info.Mode(), true
	switch kind {
	case v1.HostPathDirectory, v1.HostPathDirectoryOrCreate:
		ok = mode.IsDir()
	case v1.HostPathFile, v1.HostPathFileOrCreate:
		ok = mode.IsRegular()
	case v1.HostPathSocket:
		ok = mode&fs.ModeSocket != 0
	case v1.HostPathCharDev:
		ok = mode&fs.ModeCharDevice != 0
	case v1.HostPathBlockDev:
		ok = isBlockDevice(mode)
	}
	return mode, ok, nil
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
