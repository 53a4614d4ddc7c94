package nodefs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deepTree makes directories one below the other, with a file of 64 KiB in the last, as a pod
// could: by no path, which would be too long.
func deepTree(t *testing.T, dir string, depth int) {
	t.Helper()
	at, err := openDir(unix.AT_FDCWD, dir)
	for i := 0; err == nil && i < depth; i++ {
		name := strings.Repeat("d", 100)
		if err = unix.Mkdirat(int(at.Fd()), name, 0o755); err == nil {
			var below *os.File
			below, err = openDir(int(at.Fd()), name)
			at.Close()
			at = below
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	fd, err := unix.Openat(int(at.Fd()), "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "file")
	defer f.Close()
	if _, err := f.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
}

// fewFiles limits the open files of this process for the length of a test.
func fewFiles(t *testing.T, n uint64) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	})
}

// A pod's directories may be deeper than the node's process may have files open.
func TestRemoveTreeOfManyLevels(t *testing.T) {
	top := t.TempDir()
	dir, precious := filepath.Join(top, "pod"), filepath.Join(top, "precious")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "sub/empty"), 0o755), os.Mkdir(precious, 0o755), os.WriteFile(filepath.Join(precious, "file"), nil, 0o600),
		os.Symlink(precious, filepath.Join(dir, "sub/link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	deepTree(t, dir, 1000)
	fewFiles(t, 300)
	for range 2 { // what is gone is no error
		if err := UnmountAndRemove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(top); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Errorf("what a link led to: %v", err)
	}
}

// What lies deeper than a path is long counts, too; what a link leads to does not.
func TestWalkOfManyLevels(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	t.Cleanup(func() { _ = RemoveAll(filepath.Join(dir, strings.Repeat("d", 100))) })
	before := usageOf(dir)
	deepTree(t, dir, 1000)
	if err := os.WriteFile(filepath.Join(outside, "large"), make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fewFiles(t, 300)
	got := usageOf(dir)
	if bytes, inodes := got.Bytes-before.Bytes, got.Inodes-before.Inodes; inodes != 1002 || bytes < 64<<10 || bytes > 7<<20 {
		t.Errorf("%d bytes in %d inodes, want 64 KiB and directories in 1002", bytes, inodes)
	}
}
