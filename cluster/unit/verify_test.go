//go:build !quick

package unit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd reads the units that Install writes without a complaint, with flags that have what is special to it.
func TestUnitsAreVerified(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "../../arm/setup.sh").CombinedOutput(); err != nil {
		t.Fatalf("systemd-analyze is needed: %v\n%s", err, out)
	}
	m, _, _ := machine(t)
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		path = filepath.Join(m.Root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	const program = "/opt/wheel house/bin/wheelhouse"
	write(program, "#!/bin/sh\n", 0o755)
	for _, target := range []string{"network-online.target", "time-sync.target", "multi-user.target", "basic.target", "sysinit.target", "shutdown.target"} {
		write("/usr/lib/systemd/system/"+target, "[Unit]\nDescription="+target+"\nDefaultDependencies=no\n", 0o644)
	}
	verify := func(unit string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+m.Root, unit).CombinedOutput()
		return string(out), err
	}
	flags := []string{"--name", "a", "--labels", `x="$y",50%n`, "--state-dir", "/srv/it's here;", ""}
	for _, role := range []string{"server", "node"} {
		if err := m.Install(t.Context(), Service{Role: role, Program: program, Args: flags}); err != nil {
			t.Fatal(err)
		}
		unit := filepath.Base(m.path(role))
		if out, err := verify(unit); err != nil || strings.Contains(out, unit) { // it names other units of the machine, too
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		// What is wrong would be seen.
		text, err := os.ReadFile(m.path(role))
		if err != nil {
			t.Fatal(err)
		}
		write("/etc/systemd/system/"+unit, string(bytes.Replace(text, []byte("Restart=always"), []byte("Restart=ever"), 1)), 0o644)
		if out, _ := verify(unit); !strings.Contains(out, unit) {
			t.Errorf("%s with a wrong line: %s", unit, out)
		}
	}
}
