package etcd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// free is how many bytes of the disk of a directory can be written.
func free(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// reserveSize is the size of a file that is given up when the disk is full, so that what
// others have filled has room for deletions, and for a start.
func (c Config) reserveSize() int64 { return c.DiskReserve / 4 }

func (c Config) reserveFile() string { return filepath.Join(c.Dir, "reserve") }

// keepReserve makes the file unless it is there or would itself make the disk full.
func (c Config) keepReserve() {
	if _, err := os.Stat(c.reserveFile()); err == nil || free(c.Dir) < c.DiskReserve/2*3+c.reserveSize() {
		return
	}
	f, err := os.OpenFile(c.reserveFile(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // the disk is in a worse state than full: etcd tells
	}
	defer f.Close()
	if unix.Fallocate(int(f.Fd()), 0, 0, c.reserveSize()) != nil {
		c.releaseReserve()
	}
}

func (c Config) releaseReserve() {
	if err := os.Remove(c.reserveFile()); err != nil && !errors.Is(err, fs.ErrNotExist) && c.Log != nil {
		c.Log.Warn("giving up the disk's reserve", "err", err)
	}
}
