package docker

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const oomMinimum = -1000

// oomFloor is the least oom_score_adj that containers may be given: any with the
// capability SYS_RESOURCE. Some machines (those that are containers themselves)
// keep it even from root, and a container with less would not start.
// The daemon is taken to have the capabilities of this process.
func oomFloor() int {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&header, &data[0])
	if err == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return oomMinimum
	}
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return own
}
