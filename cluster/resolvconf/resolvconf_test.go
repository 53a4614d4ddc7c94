package resolvconf_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"wheelhouse/cluster/resolvconf"
)

func TestServers(t *testing.T) {
	dir := t.TempDir()
	f := &resolvconf.File{Path: filepath.Join(dir, "resolv.conf"), Systemd: filepath.Join(dir, "systemd.conf")}
	for i, step := range []struct {
		file, text string // text "-" removes the file
		want       string
		changed    bool
	}{
		{f.Path, "-", "[]", false},
		{f.Path, "nameserver 192.0.2.1\nnameserver fd00::1\n", "[192.0.2.1:53 [fd00::1]:53]", true},
		{f.Path, "search x\nnameserver 192.0.2.1\nnameserver fd00::1\n", "[192.0.2.1:53 [fd00::1]:53]", false},
		{f.Path, "nameserver 127.0.0.53\n", "[127.0.0.53:53]", true}, // without a list of its own
		{f.Systemd, "# none yet\n", "[]", true},
		{f.Systemd, "nameserver 192.0.2.7\n", "[192.0.2.7:53]", true},
		{f.Path, "nameserver 127.0.0.1\n# dnsmasq\n", "[127.0.0.1:53]", true},
		{f.Path, "", "[]", true},
	} {
		if step.text == "-" {
			_ = os.Remove(step.file)
		} else if err := os.WriteFile(step.file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, changed, err := f.Servers()
		if err != nil || fmt.Sprint(got) != step.want || changed != step.changed {
			t.Errorf("step %d: %v, %v, %v; want %s, %v", i, got, changed, err, step.want, step.changed)
		}
		if _, changed, _ := f.Servers(); changed {
			t.Errorf("step %d: changed again", i)
		}
	}
	if got, _, err := (&resolvconf.File{}).Servers(); len(got) != 0 || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	if err := os.WriteFile(f.Path, []byte("nameserver of.example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _, err := f.Servers(); err == nil {
		t.Errorf("a name in place of an address: %v", got)
	}
}
