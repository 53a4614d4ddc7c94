package nodefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// HoldIn is Hold for a path below root. Links are followed as long as they lead within it.
func HoldIn(root *os.Root, path string) (*os.File, fs.FileMode, error) {
	for range maxLinks {
		f, mode, err := Hold(root, path)
		if !errors.Is(err, errLink) {
			return f, mode, err
		}
		target, err := root.Readlink(path)
		if err != nil {
			return nil, 0, err
		}
		if filepath.IsAbs(target) {
			return nil, 0, fmt.Errorf("%s is a link to %s, outside of the directory", path, target)
		}
		path = filepath.Dir(path) + "/" + target
	}
	return nil, 0, syscall.ELOOP
}

// Reopen opens for reading what Hold has returned.
func Reopen(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// ReadRegular reads what Hold has returned: a regular file of at most limit bytes. It neither
// waits for a pipe nor opens a device.
func ReadRegular(held *os.File, mode fs.FileMode, limit int64) ([]byte, error) {
	if !mode.IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := Reopen(held)
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
