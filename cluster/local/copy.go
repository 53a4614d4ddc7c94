package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/osthread"
)

// copyTree copies what a directory has to another, with owners, modes, times, links and holes, by
// reference where the file system can. What is mounted below it is left out: of a mount point there is
// the empty directory or file beneath.
func copyTree(ctx context.Context, from, to string) error {
	view, err := os.MkdirTemp(filepath.Dir(to), ".view-")
	if err != nil {
		return err
	}
	osthread.Apart(func() { err = copyView(ctx, from, view, to) })
	return errors.Join(err, os.Remove(view))
}

// copyView copies from a mount without those below it, which the calling thread alone sees.
func copyView(ctx context.Context, from, view, to string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	if err := unix.Mount(from, view, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("a view of %s: %w", from, err)
	}
	cmd := exec.CommandContext(ctx, "cp", "--archive", "--reflink=auto", "--", view+"/.", to)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("copying %s: %w: %s", from, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// syncDisk writes what was written to the disk of a directory.
func syncDisk(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("writing to the disk of %s: %w", dir, err)
	}
	return nil
}

// syncDir writes the names in a directory.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
