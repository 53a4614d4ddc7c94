package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// cmdlines are where Raspberry Pi OS has the kernel's command line, the newer place first.
var cmdlines = []string{"/boot/firmware/cmdline.txt", "/boot/cmdline.txt"}

// memoryFlags turn on the memory control group, which Raspberry Pi's firmware turns off.
var memoryFlags = []string{"cgroup_enable=memory", "cgroup_memory=1"}

// Install mends what a machine lacks for a node, and prints what is left to a person. It may
// be run again.
func (m *Machine) Install(ctx context.Context, stateDir string) error {
	if err := m.useStateDir(stateDir); err != nil {
		return err
	}
	m.say("Checks so the kernel has all control groups")
	reboot, err := m.enableMemoryGroup()
	if err != nil {
		return err
	}
	m.say("Checks swap")
	if err := m.stopCardSwap(ctx); err != nil {
		return err
	}
	if err := m.enableZram(ctx); err != nil {
		return err
	}
	m.say("Loads kernel modules and settings")
	for _, args := range [][]string{{"systemctl", "restart", "systemd-modules-load.service", "systemd-sysctl.service"}, {"systemctl", "enable", "--now", "docker.service"}} {
		if _, err := m.Run(ctx, false, args[0], args[1:]...); err != nil {
			return err
		}
	}
	if err := m.loadImages(ctx); err != nil {
		return err
	}
	if reboot {
		m.say("The memory control group is off until the next start of the machine: reboot")
		return nil
	}
	m.say("This machine is ready. `kube-config enable-master` makes it a master, `kube-config enable-worker ADDR` a worker")
	return nil
}

// loadImages loads the images of the labs, where they were installed and Docker has not got them.
func (m *Machine) loadImages(ctx context.Context) error {
	m.say("Checks so all images are present")
	archives, err := m.list(share + "/images")
	if err != nil {
		return err
	}
	for _, name := range archives {
		if !strings.HasSuffix(name, ".tar.gz") {
			continue
		}
		tags, err := m.read(strings.TrimSuffix(name, ".tar.gz") + ".tags")
		if err != nil {
			return err
		}
		if _, err := m.Run(ctx, false, "docker", append([]string{"image", "inspect"}, strings.Fields(tags)...)...); err == nil && tags != "" {
			continue
		}
		m.say("Loading %s", name)
		if _, err := m.Run(ctx, false, "docker", "load", "--quiet", "--input", name); err != nil {
			return err
		}
	}
	return nil
}

// list returns the paths of a directory's files, none if there is no directory.
func (m *Machine) list(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(m.path(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		paths = append(paths, dir+"/"+e.Name())
	}
	return paths, err
}

// memoryGroup reports whether the kernel has the memory control group.
func (m *Machine) memoryGroup() (bool, error) {
	if text, err := m.read("/sys/fs/cgroup/cgroup.controllers"); err != nil || text != "" {
		return strings.Contains(" "+text, " memory"), err
	}
	text, err := m.read("/proc/cgroups")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "memory" {
			return f[3] == "1", err
		}
	}
	return false, err
}

// enableMemoryGroup adds memoryFlags to the kernel's command line if the control group is off,
// and keeps the old line beside it. It reports whether the machine must be rebooted.
func (m *Machine) enableMemoryGroup() (reboot bool, err error) {
	on, err := m.memoryGroup()
	if on || err != nil {
		return false, err
	}
	for _, name := range cmdlines {
		line, err := m.read(name)
		if err != nil || strings.TrimSpace(line) == "" {
			continue // it is not there, or, before the move, a note that it has moved
		}
		if strings.Contains(line, "DO NOT EDIT") {
			continue
		}
		if mended := withMemory(line); mended != line {
			if err := m.write(name+".before-wheelhouse", line, 0o644); err != nil {
				return false, err
			}
			if err := errors.Join(m.keepMemoryFlags(), m.write(name, mended, 0o644)); err != nil {
				return false, err
			}
			m.say("The memory control group is now enabled in %s; the old line is in %s.before-wheelhouse", name, name)
		}
		return true, nil
	}
	return false, fmt.Errorf("the kernel has no memory control group, and there is no %s to mend: start it with %s", strings.Join(cmdlines, " or "), strings.Join(memoryFlags, " "))
}

// Debian's own images for Raspberry Pis write cmdline.txt again with each kernel, if this file is
// there, and add what is in the other one.
const (
	raspiFirmware = "/etc/default/raspi-firmware"
	raspiExtra    = "/etc/default/raspi-extra-cmdline"
)

// keepMemoryFlags lets a new kernel's command line have memoryFlags, too.
func (m *Machine) keepMemoryFlags() error {
	if _, err := os.Stat(m.path(raspiFirmware)); err != nil {
		return nil //nolint:nilerr // Raspberry Pi OS leaves cmdline.txt alone
	}
	extra, err := m.read(raspiExtra)
	if err != nil {
		return err
	}
	return m.write(raspiExtra, withMemory(extra), 0o644)
}

// withMemory returns a kernel's command line with memoryFlags, and without their opposite.
func withMemory(line string) string {
	var words []string
	for _, w := range strings.Fields(line) {
		if w != "cgroup_disable=memory" && w != "cgroup_memory=0" {
			words = append(words, w)
		}
	}
	for _, flag := range memoryFlags {
		if !strings.Contains(" "+strings.Join(words, " ")+" ", " "+flag+" ") {
			words = append(words, flag)
		}
	}
	return strings.Join(words, " ") + "\n"
}

// stopCardSwap disables swap in a file, as Raspberry Pi OS has it: it wears the card and makes
// a pod at its limit slow instead of restarting it. Compressed memory (zram) is left as it is.
func (m *Machine) stopCardSwap(ctx context.Context) error {
	swaps, err := m.fileSwaps()
	if err != nil || len(swaps) == 0 {
		return err
	}
	if state, _ := m.Run(ctx, false, "systemctl", "is-enabled", "dphys-swapfile.service"); strings.TrimSpace(state) != "enabled" { // it fails for what is not enabled
		m.say("Swap in %s wears an SD card: turn it off with `swapoff -a` and in /etc/fstab", strings.Join(swaps, ", "))
		return nil
	}
	m.say("Disabling the swap file %s: it wears the card", strings.Join(swaps, ", "))
	_, err = m.Run(ctx, false, "systemctl", "disable", "--now", "dphys-swapfile.service")
	return err
}

func (m *Machine) fileSwaps() (names []string, err error) {
	text, err := m.read("/proc/swaps")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "file" {
			names = append(names, f[0])
		}
	}
	return names, err
}

// remedies lists what the machine lacks, each with what to do.
func (m *Machine) remedies(ctx context.Context, built time.Time) (list []string, err error) {
	on, err := m.memoryGroup()
	if err != nil {
		return nil, err
	}
	if !on {
		list = append(list, "the memory control group: `kube-config install`, then reboot")
	}
	swaps, err := m.fileSwaps()
	if err != nil {
		return nil, err
	}
	if len(swaps) > 0 {
		list = append(list, "no swap in a file: `kube-config install`")
	}
	if needs, err := m.needsZram(); err != nil {
		return nil, err
	} else if needs {
		list = append(list, "compressed memory, as it has little: `apt-get install systemd-zram-generator`, then `kube-config install`")
	}
	if m.Now().Before(built) {
		list = append(list, "the time, which is before this package was built: a network with NTP, `date -s`, or `apt-get install fake-hwclock`; a worker takes its master's")
	}
	if _, err := m.Run(ctx, false, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		list = append(list, "a Docker Engine that answers: `kube-config install`, or `apt-get install docker.io`")
	}
	return list, nil
}
