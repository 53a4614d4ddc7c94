package machine

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/component-base/version"
)

// Info is what `kube-config info` prints.
type Info struct {
	Architecture, Kernel string
	Cores, MHz           int // MHz is 0 where the kernel has no figure
	UsedMiB, MemoryMiB   int64
	UsedKB, FreeKB       uint64 // of the root file system
	Built                time.Time
	Commit, Version      string
	Systemd, Docker      string
	Client               string
	Role                 string
	Remedies             []string
}

// Info looks at the machine and changes nothing. What cannot be found is "unknown".
func (m *Machine) Info(ctx context.Context) (Info, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Info{}, err
	}
	i := Info{
		Architecture: unix.ByteSliceToString(u.Machine[:]), Kernel: unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]),
		Cores: runtime.NumCPU(), Client: version.Get().GitVersion,
	}
	if text, err := m.read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"); err == nil {
		khz, _ := strconv.Atoi(strings.TrimSpace(text)) // 0: not known
		i.MHz = khz / 1000
	}
	meminfo, err := m.read("/proc/meminfo")
	if err != nil {
		return i, err
	}
	total, available := field(meminfo, "MemTotal:"), field(meminfo, "MemAvailable:")
	i.MemoryMiB, i.UsedMiB = total>>10, (total-available)>>10
	var fs unix.Statfs_t
	if err := unix.Statfs(m.path("/"), &fs); err != nil {
		return i, err
	}
	block := uint64(fs.Bsize)
	i.UsedKB, i.FreeKB = (fs.Blocks-fs.Bfree)*block>>10, fs.Bavail*block>>10
	if err := m.built(&i); err != nil {
		return i, err
	}
	i.Systemd, i.Docker = "unknown", "unknown"
	if out, err := m.Run(ctx, false, "systemctl", "--version"); err == nil {
		if f := strings.Fields(out); len(f) > 1 {
			i.Systemd = "v" + f[1]
		}
	}
	if out, err := m.Run(ctx, false, "docker", "version", "--format", "{{.Server.Version}}"); err == nil {
		i.Docker = "v" + strings.TrimSpace(out)
	}
	if i.Role, err = m.role(ctx); err != nil {
		return i, err
	}
	i.Remedies, err = m.remedies(ctx, i.Built)
	return i, err
}

// built reads what the package's build has left.
func (m *Machine) built(i *Info) error {
	text, err := m.read(share + "/build")
	if err != nil {
		return err
	}
	i.Commit, i.Version = "unknown", "unknown"
	for line := range strings.Lines(text) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "commit":
			i.Commit = value
		case "version":
			i.Version = value
		case "date":
			if i.Built, err = time.Parse(time.RFC3339, value); err != nil {
				return fmt.Errorf("%s: %w", share+"/build", err)
			}
		}
	}
	return nil
}

// field returns a number of /proc/meminfo, in KiB.
func field(meminfo, name string) int64 {
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64) // the kernel's own number
			return n
		}
	}
	return 0
}

// Print writes what kubernetes-on-arm's kube-config printed, in its order, then the machine's
// role and what it lacks.
func (i Info) Print(w io.Writer) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	p("Architecture: %s", i.Architecture)
	p("Kernel: %s", i.Kernel)
	if i.MHz > 0 {
		p("CPU: %d cores x %d MHz", i.Cores, i.MHz)
	} else {
		p("CPU: %d cores", i.Cores)
	}
	p("\nUsed RAM Memory: %d MiB", i.UsedMiB)
	p("RAM Memory: %d MiB", i.MemoryMiB)
	p("\nUsed disk space: %s (%d KB)", human(i.UsedKB), i.UsedKB)
	p("Free disk space: %s (%d KB)", human(i.FreeKB), i.FreeKB)
	date := "unknown"
	if !i.Built.IsZero() {
		date = i.Built.UTC().Format("02-01-2006 15:04")
	}
	p("\nSD Card/deb package was built: %s", date)
	p("\nwheelhouse:\nLatest commit: %s", i.Commit)
	p("Version: %s", i.Version)
	p("\nsystemd version: %s", i.Systemd)
	p("docker version: %s", i.Docker)
	p("kubernetes client version: %s", i.Client)
	p("\nRole: %s", i.Role)
	for _, r := range i.Remedies {
		p("Needs: %s", r)
	}
}

// human returns a size as `df -h` prints it: rounded up, with a decimal below 10.
func human(kb uint64) string {
	value, units := float64(kb), []string{"KB", "MB", "GB", "TB"}
	u := 0
	for value >= 1024 && u < len(units)-1 {
		value, u = value/1024, u+1
	}
	if value = math.Ceil(value*10) / 10; value < 10 && u > 0 {
		return fmt.Sprintf("%.1f%s", value, units[u])
	}
	return fmt.Sprintf("%.0f%s", math.Ceil(value), units[u])
}
