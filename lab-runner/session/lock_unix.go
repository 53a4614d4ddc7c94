//go:build !windows

package session

import (
	"os"

	"golang.org/x/sys/unix"
)

// exclusive waits until no other process has the lock. It ends with the file.
func exclusive(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }
