// Package osthread runs functions on operating system threads of their own, for what a thread
// alone has: namespaces, credentials, the file system's view. It is independent of what they do.
package osthread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Apart runs f on a thread that nothing else gets afterwards, and returns when f has returned: what f changes of
// the thread is gone then. It is never the process's first thread: that one cannot end, and its namespaces
// are what /proc/self and other processes see as those of the whole process.
func Apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			Apart(f) // on another thread, as this one is taken
			runtime.UnlockOSThread()
			return
		}
		f() // the goroutine stays locked: its thread ends with it
	}()
	<-done
}
