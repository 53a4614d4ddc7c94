// Package hostinfo reads what the kernel reports of the machine and of this process. It
// changes nothing.
package hostinfo

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wheelhouse/cluster/kubelet/cgroup"
)

// OwnUsage is what this process uses.
func OwnUsage() cgroup.Usage {
	u := cgroup.Usage{Time: time.Now()}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPUNanoseconds = uint64(r.Utime.Nano() + r.Stime.Nano())
		u.PageFaults, u.MajorFaults = uint64(r.Minflt), uint64(r.Majflt)
	}
	fields := strings.Fields(ReadLine("/proc/self/statm"))
	if len(fields) > 1 {
		if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			u.RSS = pages * uint64(os.Getpagesize())
			u.Memory, u.WorkingSet = u.RSS, u.RSS
		}
	}
	return u
}

// MemoryAvailable is the memory that the machine has left, in bytes.
func MemoryAvailable() (int64, error) { return meminfo("MemAvailable:") }

// SwapOn reports whether the machine uses swap.
func SwapOn() bool { return swapOn("/proc/swaps") }

// swapOn reads the kernel's table of swap areas, of which the first line is the heading.
func swapOn(path string) bool {
	table, err := os.ReadFile(path)
	return err == nil && strings.Count(strings.TrimSpace(string(table)), "\n") > 0
}

// Memory is the memory of the machine, in bytes.
func Memory() (int64, error) { return meminfo("MemTotal:") }

func meminfo(name string) (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 1 && fields[0] == name {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no %s", name)
}

// Processes is how many processes and threads there may be, and how many there are.
func Processes() (most, now int64, err error) {
	if most, err = strconv.ParseInt(ReadLine("/proc/sys/kernel/pid_max"), 10, 64); err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(ReadLine("/proc/loadavg"))
	if len(fields) < 4 {
		return 0, 0, fmt.Errorf("/proc/loadavg has %d fields", len(fields))
	}
	_, all, _ := strings.Cut(fields[3], "/")
	now, err = strconv.ParseInt(all, 10, 64)
	return most, now, err
}

// ReadLine is the text of a small file without its last newline, empty if there is none.
func ReadLine(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}
