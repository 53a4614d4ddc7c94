package cgroup

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a group and of those below it use.
type Usage struct {
	Time           time.Time
	CPUNanoseconds uint64 // since the group was made
	Memory         uint64 // bytes, with the page cache
	WorkingSet     uint64 // without the part of the cache that can be dropped at once
	RSS            uint64
	PageFaults     uint64
	MajorFaults    uint64
	Processes      uint64
}

// Usage reads what a group uses now. It fails when the group is gone.
func (g Groups) Usage(path string) (Usage, error) {
	if g.unified {
		return g.usage2(path)
	}
	u := Usage{Time: time.Now()}
	var errs [4]error
	u.CPUNanoseconds, errs[0] = readNumber(g.file("cpuacct", path, "cpuacct.usage"))
	u.Memory, errs[1] = readNumber(g.file("memory", path, "memory.usage_in_bytes"))
	stat, err := readTable(g.file("memory", path, "memory.stat"))
	errs[2] = err
	u.Processes, errs[3] = readNumber(g.file("pids", path, "pids.current"))
	u.RSS, u.PageFaults, u.MajorFaults = stat["total_rss"], stat["total_pgfault"], stat["total_pgmajfault"]
	u.WorkingSet = u.Memory - min(stat["total_inactive_file"], u.Memory)
	return u, errors.Join(errs[:]...)
}

func (g Groups) usage2(path string) (Usage, error) {
	u := Usage{Time: time.Now()}
	cpu, err1 := readTable(g.file("", path, "cpu.stat"))
	memory, err2 := readNumber(g.file("", path, "memory.current"))
	stat, err3 := readTable(g.file("", path, "memory.stat"))
	processes, err4 := readNumber(g.file("", path, "pids.current"))
	u.CPUNanoseconds, u.Memory, u.Processes = cpu["usage_usec"]*1000, memory, processes
	u.RSS, u.PageFaults, u.MajorFaults = stat["anon"], stat["pgfault"], stat["pgmajfault"]
	u.WorkingSet = memory - min(stat["inactive_file"], memory)
	return u, errors.Join(err1, err2, err3, err4)
}

// Kills is how often the kernel has killed a process of the group for lack of memory;
// in version 2 those of the groups below count too.
func (g Groups) Kills(path string) (uint64, error) {
	name := g.file("memory", path, "memory.oom_control")
	if g.unified {
		name = g.file("", path, "memory.events")
	}
	table, err := readTable(name)
	return table["oom_kill"], err
}

func readNumber(name string) (uint64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// readTable reads lines of a name and a number.
func readTable(name string) (map[string]uint64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	out := map[string]uint64{}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[key] = n
		}
	}
	return out, nil
}

// Detail is what monitoring asks for beyond Usage. What a kernel does not count is zero.
type Detail struct {
	Periods, ThrottledPeriods uint64 // of the cpu limit
	Throttled                 time.Duration
	Cache, Swap               uint64 // bytes
	OOMKills                  uint64
	IO                        []IO // by device
}

// IO is what a group has read from and written to a device.
type IO struct {
	Device                  string // its number, such as 8:0
	ReadBytes, WrittenBytes uint64
	Reads, Writes           uint64
}

// Detail reads the details of a group.
func (g Groups) Detail(path string) Detail {
	// A file that is not there, as its controller is not, counts nothing.
	cpu, _ := readTable(g.file("cpu", path, "cpu.stat"))
	stat, _ := readTable(g.file("memory", path, "memory.stat"))
	kills, _ := g.Kills(path)
	d := Detail{Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], OOMKills: kills}
	if g.unified {
		d.Throttled, d.Cache = time.Duration(cpu["throttled_usec"])*time.Microsecond, stat["file"]
		d.Swap, _ = readNumber(g.file("", path, "memory.swap.current"))
		text, _ := os.ReadFile(g.file("", path, "io.stat"))
		d.IO = parseIOStat(string(text))
		return d
	}
	d.Throttled, d.Cache, d.Swap = time.Duration(cpu["throttled_time"]), stat["total_cache"], stat["total_swap"]
	bytes, _ := os.ReadFile(g.file("blkio", path, "blkio.throttle.io_service_bytes"))
	count, _ := os.ReadFile(g.file("blkio", path, "blkio.throttle.io_serviced"))
	d.IO = parseThrottle(string(bytes), string(count))
	return d
}

// parseIOStat reads io.stat: lines of a device and pairs such as rbytes=1.
func parseIOStat(text string) (out []IO) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		io := IO{Device: fields[0]}
		for _, pair := range fields[1:] {
			key, value, _ := strings.Cut(pair, "=")
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				continue
			}
			switch key {
			case "rbytes":
				io.ReadBytes = n
			case "wbytes":
				io.WrittenBytes = n
			case "rios":
				io.Reads = n
			case "wios":
				io.Writes = n
			}
		}
		out = append(out, io)
	}
	return out
}

// parseThrottle reads the two files of version 1: lines of a device, Read or Write, and a number.
func parseThrottle(bytes, count string) (out []IO) {
	at := map[string]int{}
	each := func(text string, set func(io *IO, operation string, n uint64)) {
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue
			}
			n, err := strconv.ParseUint(fields[2], 10, 64)
			if err != nil {
				continue
			}
			if _, ok := at[fields[0]]; !ok {
				at[fields[0]] = len(out)
				out = append(out, IO{Device: fields[0]})
			}
			set(&out[at[fields[0]]], fields[1], n)
		}
	}
	each(bytes, func(io *IO, operation string, n uint64) {
		switch operation {
		case "Read":
			io.ReadBytes = n
		case "Write":
			io.WrittenBytes = n
		}
	})
	each(count, func(io *IO, operation string, n uint64) {
		switch operation {
		case "Read":
			io.Reads = n
		case "Write":
			io.Writes = n
		}
	})
	return out
}
