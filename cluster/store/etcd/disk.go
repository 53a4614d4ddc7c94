package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// free is how many bytes of the disk of a directory can be written.
func free(dir string) int64 {
	bytes, _ := freeOn(dir)
	return bytes
}

// inodeReserve is how many files more there must be room for: segments of the log, etcd's snapshots, those of Run, and
// the copy of a defragmentation.
const inodeReserve = 24

// freeOn is how many bytes and how many files more the disk of a directory takes; as many as can be where the file
// system does not count files.
func freeOn(dir string) (bytes, inodes int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0
	}
	inodes = math.MaxInt64
	if st.Files > 0 {
		inodes = int64(st.Ffree)
	}
	return int64(st.Bavail) * int64(st.Bsize), inodes
}

// writable returns why etcd could not start again in the directory now, or nil: it writes a file where etcd will, and
// has it on the disk.
func (c Config) writable() error {
	switch bytes, inodes := freeOn(c.Dir); {
	case inodes < inodeReserve:
		return fmt.Errorf("%d files more can be made on the disk, and etcd needs some: %w", inodes, unix.ENOSPC)
	case bytes <= c.DiskReserve+c.reserveSize():
		return fmt.Errorf("%s are free: %w", size(bytes), unix.ENOSPC)
	}
	f, err := os.CreateTemp(filepath.Join(c.Dir, "member", "wal"), "probe-*.tmp") // etcd removes files of that name at a start
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4<<10))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// remedy is what can be done about an error of the disk.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "The file system of the server's --state-dir is read-only: the kernel's log (dmesg) says why. Check it, and mount it writable again"
	case errors.Is(err, unix.EIO):
		return "The disk of the server's --state-dir reports errors (dmesg): move the directory to another disk, or return to a snapshot there with `wheelhouse snapshot restore`"
	}
	return diskRemedy
}

// explained adds the remedy to an error of the disk.
func explained(err error) error {
	for _, cause := range []error{unix.EROFS, unix.EIO, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%w. %s", err, remedy(err))
		}
	}
	return err
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
