package docker

import (
	"context"
	"errors"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"wheelhouse/cluster/kubelet/cgroup"
)

const (
	busyPoll    = 10 * time.Millisecond
	busyTimeout = 100 * time.Millisecond
)

// groups are the control groups of the machine.
var groups = cgroup.At("/sys/fs/cgroup")

// removeCgroup removes an empty control group. The daemon makes the parents of a
// container's group but never removes them. What is still in use stays: the kernel
// refuses, and the next removal takes it. systemd removes its slices itself.
func removeCgroup(ctx context.Context, path string) {
	// A process that has just ended may still be counted for a moment.
	_ = wait.PollUntilContextTimeout(ctx, busyPoll, busyTimeout, true, func(context.Context) (bool, error) {
		return !errors.Is(groups.Remove(path), syscall.EBUSY), nil
	})
}
