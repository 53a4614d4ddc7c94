package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/sys/unix"

	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/store/space"
	"wheelhouse/cluster/wait"
)

// disk is a file system of its own, for a test that runs as root.
func disk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("a disk for the test (it needs root): %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// useInodes makes files on a disk until it takes no more.
func useInodes(t *testing.T, dir string) (giveBack func()) {
	t.Helper()
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(files, fmt.Sprint(i)))
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return func() {
		if err := os.RemoveAll(files); err != nil {
			t.Error(err)
		}
	}
}

// A disk without inodes is full: writes are refused with that reason before etcd needs a file, and accepted later.
func TestDiskWithoutInodes(t *testing.T) {
	dir := disk(t, "size=600m,nr_inodes=120")
	s := start(t, etcd.Config{Dir: filepath.Join(dir, "etcd"), DiskReserve: 1 << 20}, 0)
	if _, err := s.Create(t.Context(), large("a", 0)); err != nil {
		t.Fatal(err)
	}
	giveBack := useInodes(t, dir)
	wait.For(t, "a notice", s.told("StorageDiskFull"))
	_, err := s.Create(t.Context(), large("b", 0))
	insufficient(t, err, "df -i")
	if _, err := s.Get(t.Context(), "default", "a", ""); err != nil {
		t.Errorf("reading: %v", err)
	}
	if _, err := s.Delete(t.Context(), "default", "a", nil); err != nil {
		t.Errorf("deleting: %v", err)
	}
	giveBack()
	wait.For(t, "room again", s.told("StorageHasRoom"))
	if _, err := s.Create(t.Context(), large("c", 0)); err != nil {
		t.Errorf("creating: %v", err)
	}
}

// A member whose disk cannot be written serves on, with the reason and what can be done, and starts again no sooner than
// it could: not while it lacks inodes, or is read-only, however many bytes are free.
func TestNoRestartBeforeTheDiskCanBeWritten(t *testing.T) {
	dir := disk(t, "size=900m,nr_inodes=120")
	cfg := etcd.Config{Dir: filepath.Join(dir, "etcd"), DiskReserve: 1 << 20, Log: slog.Default()}
	m, err := etcd.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	giveBack := useInodes(t, dir)
	for i, err := 0, error(nil); err == nil; i++ { // Room is not asked
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err = m.Client().Put(ctx, fmt.Sprint("/k", i%10), strings.Repeat(filler, 16))
		cancel()
		if i > 500 {
			t.Fatal("etcd needs no inode")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(t.Context()) }()
	refused := func(want string) func() error {
		return func() error {
			select {
			case err := <-ended:
				t.Fatalf("Run has ended with %v", err)
			default:
			}
			err := m.Room(space.Write{Use: space.Deletion})
			return wait.Seen(err != nil && strings.Contains(err.Error(), want), err)
		}
	}
	wait.For(t, "the want of inodes", refused("files more can be made"))
	readOnly := func() {
		if err := unix.Mount(cfg.Dir, cfg.Dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", cfg.Dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	readOnly()
	giveBack()
	wait.For(t, "the read-only file system", refused("mount it writable again"))
	if _, err := etcd.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "mount it writable again") {
		t.Errorf("a start there ends with %v", err)
	}
	if err := unix.Unmount(cfg.Dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, etcd.ErrRestart) {
		t.Fatalf("Run ended with %v", err)
	}
}

// The alarm of a member that was removed stops the others until it ends: nobody else would end it.
func TestAlarmOfARemovedMember(t *testing.T) {
	s := start(t, etcd.Config{Dir: t.TempDir()}, 0)
	if err := s.Raise(t.Context(), 42, pb.AlarmType_NOSPACE); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "no alarm", func() error {
		st := s.Status()
		return wait.Seen(!st.Alarm && st.Refusing == "", st)
	})
	if _, err := s.Create(t.Context(), large("a", 0)); err != nil {
		t.Error(err)
	}
}

// Members whose data differs are reported, with what can be done; the caches answer on.
func TestAlarmOfDifferentData(t *testing.T) {
	s := start(t, etcd.Config{Dir: t.TempDir()}, 0)
	if _, err := s.Create(t.Context(), large("a", 0)); err != nil {
		t.Fatal(err)
	}
	if err := s.Raise(t.Context(), 42, pb.AlarmType_CORRUPT); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "a notice", s.told("StorageCorrupt"))
	_, err := s.Create(t.Context(), large("b", 0))
	insufficient(t, err, "of 2a at least")
	if _, err := s.Collection.Get(t.Context(), "default", "a", "0"); err != nil {
		t.Errorf("reading: %v", err)
	}
	if st := s.Status(); st.Corrupt != "2a" {
		t.Errorf("the status is %+v", st)
	}
}
