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
	return int64(st.Bavail) * st.Bsize
}

// reserveSize is the size of a file that is given up when the disk is full, so that what
// others have filled has room for deletions, and for a start.
func (m *Member) reserveSize() int64 { return m.cfg.DiskReserve / 4 }

func (m *Member) reserveFile() string { return filepath.Join(m.cfg.Dir, "reserve") }

// keepReserve makes the file unless it is there or would itself make the disk full.
func (m *Member) keepReserve() {
	if _, err := os.Stat(m.reserveFile()); err == nil || free(m.cfg.Dir) < m.cfg.DiskReserve/2*3+m.reserveSize() {
		return
	}
	f, err := os.OpenFile(m.reserveFile(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // the disk is in a worse state than full: etcd tells
	}
	defer f.Close()
	if unix.Fallocate(int(f.Fd()), 0, 0, m.reserveSize()) != nil {
		m.releaseReserve()
	}
}

func (m *Member) releaseReserve() {
	if err := os.Remove(m.reserveFile()); err != nil && !errors.Is(err, fs.ErrNotExist) && m.cfg.Log != nil {
		m.cfg.Log.Warn("giving up the disk's reserve", "err", err)
	}
}
