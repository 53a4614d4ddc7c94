package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	busyTries = 10
	busyWait  = 10 * time.Millisecond
)

// cgroupRoot is where control groups are mounted: version 1 has a folder for
// each controller, version 2 is the root itself.
const cgroupRoot = "/sys/fs/cgroup"

// removeCgroup removes an empty control group in every hierarchy. The daemon
// makes the parents of a container's group but never removes them. What is still
// in use stays: the kernel refuses, and the next removal takes it. systemd
// removes its slices itself.
func removeCgroup(path string) {
	if path == "" || !strings.HasPrefix(path, "/") {
		return
	}
	groups := []string{filepath.Join(cgroupRoot, path)}
	controllers, _ := os.ReadDir(cgroupRoot)
	for _, c := range controllers {
		if c.IsDir() {
			groups = append(groups, filepath.Join(cgroupRoot, c.Name(), path))
		}
	}
	for _, g := range groups {
		// A process that has just ended may still be counted for a moment.
		for try := 0; try < busyTries && errors.Is(os.Remove(g), syscall.EBUSY); try++ {
			time.Sleep(busyWait)
		}
	}
}
