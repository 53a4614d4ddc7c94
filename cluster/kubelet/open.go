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

// OpenPath is Open and Hold of one path.
func OpenPath(root, path string) (*os.File, fs.FileMode, error) {
	d, at, done, err := onDisk(root, path)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	return hold(d, at)
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

