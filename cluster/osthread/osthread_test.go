package osthread_test

import (
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/osthread"
)

// No function runs on the first thread, however often that one is idle, and each has one of its own.
func TestApart(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				osthread.Apart(func() {
					if unix.Gettid() == os.Getpid() {
						t.Error("it runs on the process's first thread")
					}
				})
			}
		})
	}
	all.Wait()
}

// What a function changes of its thread, no other one sees.
func TestApartAlone(t *testing.T) {
	for range 100 {
		osthread.Apart(func() {
			before, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 less than nice, of the thread
			if err != nil {
				t.Error(err)
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19); err != nil {
				t.Error(err)
			}
			if before == 1 {
				t.Error("the thread was used before")
			}
		})
	}
}
