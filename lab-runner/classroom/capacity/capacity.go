// Package capacity compares what a class of so many learners needs with what a machine and its cluster have. Look gathers
// the figures and changes nothing; Compare is pure. A figure that cannot be read is not compared, and is reported so.
package capacity

import (
	"fmt"
	"io"
)

// What one learner is reckoned with: a workbench, a desk, and the pods of a lab under way. These are allowances, not limits.
const (
	memoryEach    = 150 << 20 // bytes
	diskEach      = 300 << 20 // bytes: what containers write, logs, a home directory
	podsEach      = 8
	processesEach = 60
	watchesEach   = 1 // inotify instances
)

// What the class has besides: the server, and room for the cluster's own work.
const (
	memoryBase    = 512 << 20
	diskBase      = 2 << 30
	processesBase = 500
	watchesBase   = 64
)

// Unknown is a figure that could not be read.
const Unknown = -1

// Facts are the figures of a machine and of its cluster.
type Facts struct {
	Memory    int64 // bytes that are available
	Disk      int64 // bytes that are free where containers and the cluster's data are
	Processes int64 // that may still be started
	Watches   int64 // inotify instances that one user may have
	Pods      int64 // that nodes still take
	Addresses int64 // of pods that are still free
	Blocks    int64 // of addresses, one for each further cluster of this machine
	Listen    error // why the port is not free; nil: it is
	Port      string
	Cluster   error // why the cluster's figures are unknown; nil: they are known
}

// Check is one comparison.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Compare returns a check for each figure.
func Compare(f Facts, learners int) []Check {
	n := int64(learners)
	out := []Check{
		compare("memory", f.Memory, memoryBase+n*memoryEach, bytes, "close programs, take a larger machine, or fewer learners"),
		compare("disk", f.Disk, diskBase+n*diskEach, bytes, "`docker system prune` removes what no container uses"),
		compare("processes", f.Processes, processesBase+n*processesEach, count, "raise kernel.pid_max and kernel.threads-max with sysctl"),
		compare("inotify", f.Watches, watchesBase+n*watchesEach, count, "`sysctl -w fs.inotify.max_user_instances=8192`"),
		compare("pods", f.Pods, n*podsEach, count, "more nodes (`wheelhouse up --nodes N`), or --node-arg=--max-pods=N"),
		compare("addresses", f.Addresses, n*podsEach, count, "more nodes: each has a pod CIDR of its own"),
	}
	if f.Cluster != nil {
		for i := range out {
			if name := out[i].Name; name == "pods" || name == "addresses" {
				out[i].Found, out[i].Remedy = f.Cluster.Error(), "start the cluster first: `wheelhouse up --class`"
			}
		}
	}
	return append(out, port(f))
}

func port(f Facts) Check {
	port := Check{Name: "port", OK: f.Listen == nil, Found: f.Port + " is free"}
	if f.Listen != nil {
		port.Found, port.Remedy = f.Listen.Error(), "end what has the port, or choose another with --listen"
	}
	return port
}

func compare(name string, have, need int64, show func(int64) string, remedy string) Check {
	c := Check{Name: name, OK: have >= need, Found: fmt.Sprintf("%s, needed %s", show(have), show(need)), Remedy: remedy}
	if have == Unknown {
		c.Found = "not known, needed " + show(need)
	}
	if c.OK {
		c.Remedy = ""
	}
	return c
}

func bytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/(1<<30)) }
func count(n int64) string { return fmt.Sprint(n) }

// Enough reports whether every check holds.
func Enough(list []Check) bool {
	for _, c := range list {
		if !c.OK {
			return false
		}
	}
	return true
}

// Print writes a line for each check, and one for each remedy.
func Print(out io.Writer, list []Check) {
	for _, c := range list {
		result := "ok"
		if !c.OK {
			result = "FAIL"
		}
		fmt.Fprintf(out, "%-5s %-10s %s\n", result, c.Name, c.Found)
		if c.Remedy != "" {
			fmt.Fprintf(out, "      %-10s -> %s\n", "", c.Remedy)
		}
	}
}
