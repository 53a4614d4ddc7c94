package machine

import (
	"strings"
	"testing"
	"time"
)

// What kubernetes-on-arm 0.7.0 printed on a Raspberry Pi 3.
const printedThen = `Architecture: armv7l
Kernel: Linux 4.1.17
CPU: 4 cores x 1200 MHz

Used RAM Memory: 111 MiB
RAM Memory: 925 MiB

Used disk space: 2.4GB (2424044 KB)
Free disk space: 11GB (11382472 KB)

SD Card/deb package was built: 21-03-2016 21:06

wheelhouse:
Latest commit: 1d0bbe1
Version: 0.7.0

systemd version: v215
docker version: v1.10.3
kubernetes client version: v1.2.0

Role: none
`

func TestInfoPrintsAsThen(t *testing.T) {
	var b strings.Builder
	Info{
		Architecture: "armv7l", Kernel: "Linux 4.1.17", Cores: 4, MHz: 1200, UsedMiB: 111, MemoryMiB: 925, UsedKB: 2424044, FreeKB: 11382472,
		Built: time.Date(2016, 3, 21, 21, 6, 0, 0, time.UTC), Commit: "1d0bbe1", Version: "0.7.0",
		Systemd: "v215", Docker: "v1.10.3", Client: "v1.2.0", Role: "none",
	}.Print(&b)
	if b.String() != printedThen {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), printedThen)
	}
}

func TestInfoOfAMachine(t *testing.T) {
	m := newMachine(t)
	m.file(t, share+"/build", "version=0.7.0\ncommit=1d0bbe1\ndate=2016-03-21T21:06:00Z\n")
	m.file(t, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1200000\n")
	m.prints["systemctl --version"] = "systemd 252 (252.39-1~deb12u2)\n+PAM\n"
	m.prints["systemctl is-enabled "+nodeUnit] = "enabled\n"
	m.answers["docker version"] = errOff
	i, err := m.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i.MemoryMiB != 925 || i.UsedMiB != 111 || i.MHz != 1200 || i.Commit != "1d0bbe1" || i.Systemd != "v252" || i.Docker != "unknown" || i.Role != "worker" {
		t.Errorf("%+v", i)
	}
	if len(i.Remedies) != 1 || !strings.Contains(i.Remedies[0], "Docker") {
		t.Errorf("Docker does not answer, and the remedies are %q", i.Remedies)
	}
	for _, line := range m.ran {
		if strings.HasPrefix(line, "systemctl enable") || strings.HasPrefix(line, "systemctl start") {
			t.Errorf("info changed the machine: %s", line)
		}
	}
}

// Each thing that a Raspberry Pi lacks is named with its remedy.
func TestRemedies(t *testing.T) {
	m := newMachine(t)
	m.file(t, share+"/build", "version=1\ncommit=1\ndate=2026-11-01T00:00:00Z\n")
	m.file(t, "/sys/fs/cgroup/cgroup.controllers", "cpu pids\n")
	m.file(t, "/proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n")
	m.answers["docker version"] = errOff
	m.Now = func() time.Time { return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC) }
	i, err := m.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"memory control group", "swap in a file", "systemd-zram-generator", "fake-hwclock", "Docker"}
	if len(i.Remedies) != len(wanted) {
		t.Fatalf("%q", i.Remedies)
	}
	for n, want := range wanted {
		if !strings.Contains(i.Remedies[n], want) {
			t.Errorf("%q has no %q", i.Remedies[n], want)
		}
	}
}

func TestHuman(t *testing.T) {
	for kb, want := range map[uint64]string{0: "0KB", 1023: "1023KB", 1025: "1.1MB", 2424044: "2.4GB", 10 << 20: "10GB", 11382472: "11GB", 3 << 30: "3.0TB"} {
		if got := human(kb); got != want {
			t.Errorf("%d KB: %s, want %s", kb, got, want)
		}
	}
}
