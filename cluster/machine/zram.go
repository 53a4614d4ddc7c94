package machine

import (
	"context"
	"errors"
	"os"
	"strings"
)

// The distribution's zram generator, and its settings.
const (
	zramGenerator = "/usr/lib/systemd/system-generators/zram-generator"
	zramSettings  = "/etc/systemd/zram-generator.conf"
	zramUnit      = "systemd-zram-setup@zram0.service"
	// zramText makes half of the memory a swap device that is compressed to about a third.
	zramText = "# Written by `kube-config install`.\n[zram0]\nzram-size = ram / 2\ncompression-algorithm = zstd\n"
)

// needsZram reports whether the machine has little memory and swaps to none that is compressed.
func (m *Machine) needsZram() (bool, error) {
	memory, err := m.memory()
	if err != nil || memory >= smallMemory {
		return false, err
	}
	swaps, err := m.read("/proc/swaps")
	return !strings.Contains(swaps, "/dev/zram"), err
}

// enableZram makes compressed memory of a small machine where the generator is installed and has
// no settings of somebody else's.
func (m *Machine) enableZram(ctx context.Context) error {
	needs, err := m.needsZram()
	if err != nil || !needs {
		return err
	}
	if _, err := os.Stat(m.path(zramGenerator)); errors.Is(err, os.ErrNotExist) {
		m.say("This machine has little memory: `apt-get install systemd-zram-generator`, then `kube-config install` again, compresses a part of it")
		return nil
	}
	if text, err := m.read(zramSettings); err != nil || (text != "" && text != zramText) {
		return err
	}
	m.say("Compressing half of the memory")
	if err := m.write(zramSettings, zramText, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"daemon-reload"}, {"start", zramUnit}} {
		if _, err := m.Run(ctx, false, "systemctl", args...); err != nil {
			return err
		}
	}
	return nil
}
