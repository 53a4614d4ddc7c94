package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// trashDir has, below the state directory, what is left of clusters that are removed.
const trashDir = ".trash"

// discard removes a cluster's directory, whatever its containers have written there: the name is free at once. Where it does not
// end in time EmptyTrash, or the next Down of that cluster, goes on.
func discard(ctx context.Context, stateDir, dir string) error {
	trash := filepath.Join(stateDir, trashDir)
	into, err := trashFor(trash, filepath.Base(dir))
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(into, "cluster")); err != nil {
		if _, err := os.Lstat(dir); err == nil { // such as a mount point
			return errors.Join(removeTree(ctx, dir), os.RemoveAll(into))
		}
	}
	return EmptyTrash(ctx, stateDir, filepath.Base(dir)+"-*")
}

// trashFor makes a directory for what is removed of a cluster. Another removal, which has found the trash empty, may remove it in between.
func trashFor(trash, name string) (string, error) {
	for {
		if err := os.MkdirAll(trash, 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		into, err := os.MkdirTemp(trash, name+"-")
		if !errors.Is(err, os.ErrNotExist) {
			return into, err
		}
		if _, err := os.Stat(filepath.Dir(trash)); err != nil {
			return "", err
		}
	}
}

// EmptyTrash removes what is left of removed clusters below a state directory, of those alone whose names match the pattern if
// there is one.
func EmptyTrash(ctx context.Context, stateDir, pattern string) error {
	trash := filepath.Join(cmp.Or(stateDir, DefaultStateDir), trashDir)
	found, err := filepath.Glob(filepath.Join(trash, cmp.Or(pattern, "*")))
	errs := []error{err}
	for _, dir := range found {
		errs = append(errs, emptyOne(ctx, dir))
	}
	_ = os.Remove(trash) // if it is empty
	return errors.Join(errs...)
}

// emptyOne removes what is left of one cluster, unless another does.
func emptyOne(ctx context.Context, dir string) error {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	} else if err != nil {
		return fmt.Errorf("locking %s: %w", dir, err)
	}
	return removeTree(ctx, dir)
}

// removeTree removes a directory in a process of its own, which needs few files for a deep tree and ends with ctx: os.RemoveAll opens
// one for each level, of this process, and heeds no ctx.
func removeTree(ctx context.Context, dir string) error {
	var said firstText
	cmd := exec.CommandContext(ctx, "rm", "-rf", "--one-file-system", "--", dir)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("removing %s: %w: %s", dir, errors.Join(err, ctx.Err()), bytes.TrimSpace(said))
	}
	return nil
}

// firstText keeps the beginning of what is written.
type firstText []byte

func (t *firstText) Write(b []byte) (int, error) {
	*t = append(*t, b[:min(len(b), 500-len(*t))]...)
	return len(b), nil
}
