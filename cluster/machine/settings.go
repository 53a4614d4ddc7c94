package machine

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// smallMemory is below what a machine has on which memory needs no care.
	smallMemory = 2 << 30
	// smallQuota keeps etcd's database, which is mapped into memory, far from 1 GB of memory
	// and from the address space of a 32-bit process.
	smallQuota = 512 << 20
	// quota is etcd's on every other machine.
	quota = 2 << 30
)

// serverSettings returns the text of serverEnv.
func (m *Machine) serverSettings(o Options) (string, error) {
	memory, err := m.memory()
	if err != nil {
		return "", err
	}
	values := []string{
		"ADDRESS=" + o.Address.String(), "NODE=" + o.Name + "=" + o.Address.String(), "STATE_DIR=" + o.StateDir + "/server",
	}
	bytes := int64(quota)
	if memory < smallMemory || strconv.IntSize == 32 {
		bytes = smallQuota
	}
	values = append(values, fmt.Sprintf("QUOTA=%d", bytes))
	if !o.Hidden {
		values = append(values, "ANNOUNCE=--announce")
	}
	return settingsText("enable-master", append(values, memoryLimit(memory, 4, 192<<20)...)), nil
}

// nodeSettings returns the text of nodeEnv.
func (m *Machine) nodeSettings(o Options, kubeconfig string) (string, error) {
	memory, err := m.memory()
	if err != nil {
		return "", err
	}
	values := []string{
		"ADDRESS=" + o.Address.String(), "NAME=" + o.Name, "POD_CIDR=" + o.PodCIDR.String(),
		"KUBECONFIG=" + kubeconfig, "STATE_DIR=" + o.StateDir + "/node",
	}
	mirror, err := m.mirrorSetting(o.Mirror)
	if err != nil {
		return "", err
	}
	values = append(values, mirror...)
	return settingsText("enable-master or enable-worker", append(values, memoryLimit(memory, 10, 64<<20)...)), nil
}

// memoryLimit returns the setting of the Go runtime's soft limit on a small machine: a part of
// its memory, and at least what the process needs.
func memoryLimit(memory int64, part int64, least int64) []string {
	if memory >= smallMemory {
		return nil
	}
	return []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", max(memory/part, least)>>20)}
}

func settingsText(by string, values []string) string {
	return "# Written by `kube-config " + by + "`; further flags are in /etc/default.\n" + strings.Join(values, "\n") + "\n"
}

// file is a file of settings and its text.
type file struct{ name, text string }

// differs reports whether one of the files has another text, or none.
func (m *Machine) differs(files []file) (bool, error) {
	for _, f := range files {
		if text, err := m.read(f.name); err != nil || text != f.text {
			return true, err
		}
	}
	return false, nil
}

func (m *Machine) writeSettings(files []file) error {
	for _, f := range files {
		if err := m.write(f.name, f.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// settings returns the node's settings; without their file there are none.
func (m *Machine) settings() (map[string]string, error) {
	text, err := m.read(nodeEnv)
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			values[key] = value
		}
	}
	return values, err
}

// memory returns the machine's memory in bytes.
func (m *Machine) memory() (int64, error) {
	text, err := m.read("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return field(text, "MemTotal:") << 10, nil
}
