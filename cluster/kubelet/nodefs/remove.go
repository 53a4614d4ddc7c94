package nodefs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// removeDepth is how many directories one below the other are open at once. A pod may have
// made them of any depth: os.RemoveAll, which opens one for each, then leaves the
// node's process without file descriptors.
const removeDepth = 64

// RemoveAll removes a path with all that is in it; what is not there is no error.
func RemoveAll(path string) error {
	parent, err := openDir(unix.AT_FDCWD, filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer parent.Close()
	if err := RemoveAt(parent, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// RemoveAt removes an entry of a directory. It follows no link.
func RemoveAt(parent *os.File, name string) error {
	done, err := removeOne(parent, name)
	if done || err != nil {
		return err
	}
	top, err := openDir(int(parent.Fd()), name)
	if err != nil {
		return err
	}
	defer top.Close()
	if err := empty(top, top, 0); err != nil {
		return err
	}
	_, err = removeOne(parent, name)
	return err
}

// empty removes all entries of a directory. What is too deep below top is moved there first.
func empty(top, dir *os.File, depth int) error {
	for {
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
		names, err := dir.Readdirnames(1024)
		if len(names) == 0 && (err == nil || errors.Is(err, io.EOF)) {
			return nil
		}
		if len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := removeEntry(top, dir, name, depth); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
}

func removeEntry(top, dir *os.File, name string, depth int) error {
	done, err := removeOne(dir, name)
	if done || err != nil {
		return err
	}
	if depth == removeDepth {
		return unix.Renameat(int(dir.Fd()), name, int(top.Fd()), rand.Text())
	}
	below, err := openDir(int(dir.Fd()), name)
	if err != nil {
		return err
	}
	defer below.Close()
	if err := empty(top, below, depth+1); err != nil {
		return err
	}
	_, err = removeOne(dir, name)
	return err
}

// removeOne removes a file or an empty directory; done is false for a directory that is not empty.
func removeOne(dir *os.File, name string) (done bool, err error) {
	err = unix.Unlinkat(int(dir.Fd()), name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return true, nil
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return false, nil
	}
	return false, err
}

// openDir opens a directory; a symbolic link is an error.
func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
