package machine

import (
	"strings"
	"testing"
)

func TestZram(t *testing.T) {
	const little, much = "MemTotal: 947200 kB\n", "MemTotal: 8000000 kB\n"
	const none, zram = "Filename Type Size Used Priority\n", "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n"
	for name, c := range map[string]struct {
		memory, swaps, settings string
		generator               bool
		starts, says            bool
	}{
		"a Pi 3":                     {memory: little, swaps: none, generator: true, starts: true},
		"a Pi 3 again":               {memory: little, swaps: none, settings: zramText, generator: true, starts: true},
		"a Pi 3 without generator":   {memory: little, swaps: none, says: true},
		"a Pi 3 that has it already": {memory: little, swaps: zram, generator: true},
		"somebody's settings":        {memory: little, swaps: none, settings: "[zram0]\nzram-size = 1\n", generator: true},
		"a Pi 4 with 8 GB":           {memory: much, swaps: none, generator: true},
	} {
		m := newMachine(t)
		m.file(t, "/proc/meminfo", c.memory)
		m.file(t, "/proc/swaps", c.swaps)
		if c.generator {
			m.file(t, zramGenerator, "")
		}
		if c.settings != "" {
			m.file(t, zramSettings, c.settings)
		}
		if err := m.Install(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if got := m.has("systemctl start " + zramUnit); got != c.starts {
			t.Errorf("%s: started %v", name, got)
		}
		if c.starts && m.text(t, zramSettings) != zramText {
			t.Errorf("%s: settings %q", name, m.text(t, zramSettings))
		}
		if got := strings.Contains(m.out.String(), "systemd-zram-generator"); got != c.says {
			t.Errorf("%s: printed %s", name, m.out.String())
		}
	}
}
