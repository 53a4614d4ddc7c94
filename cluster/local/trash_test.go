package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// deepTree makes a directory with more levels than this process may have files, as moves of subtrees do.
func deepTree(t *testing.T, dir string, levels int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := unix.Mkdirat(at, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_PATH, 0)
		_ = unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	_ = unix.Close(at)
}

// What containers leave on a node's disk is removed with few files, and as long as it is waited for; the name is free before.
func TestDeepTreesAreRemoved(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 256
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	cfg := Config{Name: "c", StateDir: t.TempDir()}
	fill := func() {
		t.Helper()
		disk := filepath.Join(cfg.dir(), "nodes", "minion-1")
		if err := os.MkdirAll(disk, 0o755); err != nil {
			t.Fatal(err)
		}
		deepTree(t, disk, 2000)
	}
	gone := func() bool {
		left, err := os.ReadDir(cfg.StateDir)
		return errors.Is(err, fs.ErrNotExist) || err == nil && len(left) == 0
	}
	fill()
	if err := removeState(t.Context(), cfg); err != nil || !gone() {
		t.Errorf("it is not gone: %v", err)
	}
	fill()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := removeState(over, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if _, err := os.Stat(cfg.dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the name is not free: %v", err)
	}
	if err := EmptyTrash(t.Context(), cfg.StateDir, ""); err != nil || !gone() {
		t.Errorf("what was left is not gone: %v", err)
	}
}

// Several removals at once, each of which removes the trash when it is empty, do not disturb each other.
func TestTrashOfSeveral(t *testing.T) {
	trash := filepath.Join(t.TempDir(), trashDir)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = os.Remove(trash)
		}
	}()
	for range 2000 {
		dir, err := trashFor(trash, "c")
		if err != nil {
			t.Error(err)
			break
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}
	cancel()
	<-ended
	if _, err := trashFor(filepath.Join(t.TempDir(), "none", "none", trashDir), "c"); err != nil {
		t.Error(err)
	}
}
