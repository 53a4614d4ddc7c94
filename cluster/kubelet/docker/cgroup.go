package docker

import (
	"errors"
	"syscall"
	"time"

	"wheelhouse/cluster/kubelet/cgroup"
)

const (
	busyTries = 10
	busyWait  = 10 * time.Millisecond
)

// groups are the control groups of the machine.
var groups = cgroup.At("/sys/fs/cgroup")

// removeCgroup removes an empty control group. The daemon makes the parents of a
// container's group but never removes them. What is still in use stays: the kernel
// refuses, and the next removal takes it. systemd removes its slices itself.
func removeCgroup(path string) {
	// A process that has just ended may still be counted for a moment.
	for try := 0; try < busyTries && errors.Is(groups.Remove(path), syscall.EBUSY); try++ {
		time.Sleep(busyWait)
	}
}
