package kubelet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// What pods can write to is read with care: a pipe is never waited for, a device never
// opened, and no more is read than what fits.

// holdIn holds a path below root, links followed as long as they lead within it.
func holdIn(root *os.Root, path string) (*os.File, fs.FileMode, error) {
	for range maxLinks {
		f, mode, err := hold(root, path)
		if !errors.Is(err, errLink) {
			return f, mode, err
		}
		target, err := root.Readlink(path)
		if err != nil {
			return nil, 0, err
		}
		if filepath.IsAbs(target) {
			return nil, 0, fmt.Errorf("%s is a link to %s, outside of the folder", path, target)
		}
		path = filepath.Dir(path) + "/" + target
	}
	return nil, 0, syscall.ELOOP
}

// reopen opens for reading what is held.
func reopen(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// readRegular reads a regular file that is held, of at most limit bytes.
func readRegular(held *os.File, mode fs.FileMode, limit int64) ([]byte, error) {
	if !mode.IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := reopen(held)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return data, err
}
