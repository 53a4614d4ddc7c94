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

// groups are the control groups of the machine, and systemd makes its slices.
var (
	groups  = cgroup.At("/sys/fs/cgroup")
	systemd = cgroup.NewSystemd(groups.Unified())
)

// removeCgroup removes an empty control group. The daemon makes the parents of a
// container's group but never removes them. What is still in use stays: the kernel
// refuses, and the next removal takes it. A slice of systemd is
// stopped.
func removeCgroup(ctx context.Context, path string) error {
	// A process that has just ended may still be counted for a moment.
	if cgroup.IsSlice(path) {
		return groups.Remove(ctx, path)
	}
	_ = wait.PollUntilContextTimeout(ctx, busyPoll, busyTimeout, true, func(context.Context) (bool, error) {
		return !errors.Is(groups.Remove(ctx, path), syscall.EBUSY), nil
	})
	return nil
}
