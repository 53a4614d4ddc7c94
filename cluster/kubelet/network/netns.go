package network

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// Do calls f on a thread that is in network namespace ns: sockets that f opens,
// files below /proc/sys/net and processes it starts belong to ns. f must not start
// goroutines that need it.
func Do(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- fmt.Errorf("own network namespace: %w", err)
			runtime.UnlockOSThread()
			return
		}
		defer func() { _ = home.Close() }()
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("entering network namespace: %w", err)
			runtime.UnlockOSThread()
			return
		}
		err = f()
		// A thread that cannot go home ends with its goroutine, as it stays locked.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
