package network

import (
	"errors"
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

// namespaceOf opens the network namespace of a pod's process. The node's own is an error: the number of a process that has
// ended may be that of another one by now, and nothing of the node's interfaces is a pod's.
func namespaceOf(pid int) (netns.NsHandle, error) {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return netns.None(), fmt.Errorf("network namespace of pid %d: %w", pid, err)
	}
	own, err := netns.Get()
	if err == nil {
		defer func() { _ = own.Close() }()
		if !ns.Equal(own) {
			return ns, nil
		}
		err = fmt.Errorf("pid %d is in the network namespace of the node", pid)
	}
	return netns.None(), errors.Join(err, ns.Close())
}
