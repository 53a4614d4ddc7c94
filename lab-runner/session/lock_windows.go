package session

import (
	"os"

	"golang.org/x/sys/windows"
)

// exclusive waits until no other process has the lock. It ends with the file.
func exclusive(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &windows.Overlapped{})
}
