package nodefs

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
)

// Disk is the file system that a node's host paths are on.
type Disk interface {
	MkdirAll(name string, mode fs.FileMode) error
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	OpenRoot(name string) (*os.Root, error)
}

// Machine is the disk of a node that is the machine itself.
type Machine struct{}

// MkdirAll implements Disk.
func (Machine) MkdirAll(name string, mode fs.FileMode) error { return os.MkdirAll("/"+name, mode) }

// OpenRoot implements Disk.
func (Machine) OpenRoot(name string) (*os.Root, error) { return os.OpenRoot("/" + name) }

// OpenFile implements Disk.
func (Machine) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile("/"+name, flag, mode)
}

// Open opens the disk below root, the machine's own if that is empty, and returns where
// a path of it leads. Below a root, links mean what they mean to a process whose / is that
// directory, and never lead to another node's disk or the machine's: os.Root refuses a link
// that is created after the lookup.
func Open(root, path string) (d Disk, at string, done func(), err error) {
	at = cmp.Or(strings.TrimPrefix(filepath.Clean("/"+path), "/"), ".")
	if root == "" {
		return Machine{}, at, func() {}, nil
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

// OpenPath opens a path of the disk below root without opening what it names, as Hold does.
func OpenPath(root, path string) (*os.File, fs.FileMode, error) {
	d, at, done, err := Open(root, path)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	return Hold(d, at)
}

// errLink is the error for a symbolic link that was created after the lookup.
var errLink = errors.New("it is a symbolic link")

// Hold opens a path of a disk with O_PATH: a device or a pipe that it names is not opened
// itself. Whatever is renamed or linked later, the file stays the one that was checked.
func Hold(d Disk, at string) (*os.File, fs.FileMode, error) {
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

// follow returns the path without links that a path leads to on a disk. What does not exist
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

// WalkDir calls f for a directory and all that is in it. f gets the open root of the
// directory, so that no link leads outside.
func WalkDir(path string, f func(root *os.Root, name string, info fs.FileInfo) error) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return f(root, name, info)
	})
}
