package unit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wheelhouse/arm/deb"
)

// A unit has all that the package's has but what depends on the package, and the flags as they were given.
func TestText(t *testing.T) {
	for _, role := range []string{"server", "node"} {
		packaged, err := fs.ReadFile(deb.Units, "root/usr/lib/systemd/system/wheelhouse-"+role+".service")
		if err != nil {
			t.Fatal(err)
		}
		text, err := Text(Service{Role: role, Program: "/opt/wheel house", Args: []string{"--name", "a", "--labels", `x="$y",50%`, ""}})
		if err != nil {
			t.Fatal(err)
		}
		var start []string
		kept := map[string]bool{}
		for line := range strings.Lines(text) {
			kept[line] = true
			if s, ok := strings.CutPrefix(line, "ExecStart="); ok {
				start = append(start, strings.TrimSpace(s))
			}
		}
		if want := []string{`"/opt/wheel house" ` + role + ` --name a --labels "x=\"$$y\",50%%" ""`}; !slices.Equal(start, want) {
			t.Errorf("ExecStart %q, want %q", start, want)
		}
		for line := range strings.Lines(string(packaged)) {
			own := strings.HasPrefix(line, "Environment") || strings.HasPrefix(line, "ExecStart") || strings.HasPrefix(line, "Condition") || strings.HasPrefix(line, "Documentation")
			if kept[line] == own && !strings.HasPrefix(line, "\n") {
				t.Errorf("%s: kept %v: %q", role, kept[line], line)
			}
		}
		for _, want := range []string{"[Install]\nWantedBy=multi-user.target\n", "Restart=always\n", "LimitNOFILE=1048576\n", "After=network-online.target"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", role, want, text)
			}
		}
	}
	if _, err := Text(Service{Role: "pod"}); err == nil {
		t.Error("a unit of a pod")
	}
}

// machine is one whose files are below a directory and whose commands are noted.
func machine(t *testing.T) (m *Machine, ran *[]string, out *strings.Builder) {
	t.Helper()
	ran, out = &[]string{}, &strings.Builder{}
	m = &Machine{Root: t.TempDir(), Out: out, Run: func(_ context.Context, args ...string) error {
		*ran = append(*ran, strings.Join(args, " "))
		return nil
	}}
	if err := os.MkdirAll(filepath.Join(m.Root, "/run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m, ran, out
}

// Any user can read a unit: no role's token is in it, and two roles of a machine have a file each.
func TestTokensAreNotInUnits(t *testing.T) {
	m, _, _ := machine(t)
	for role, token := range map[string]string{"node": "abc.def", "server": "ghi.jkl"} {
		flags, err := m.keepToken(role, []string{"--token=" + token})
		if err != nil || len(flags) != 2 || flags[0] != "--token-file" {
			t.Fatalf("%s: %v, %v", role, flags, err)
		}
		if text, err := os.ReadFile(flags[1]); err != nil || string(text) != token+"\n" {
			t.Errorf("%s: %q, %v", role, text, err)
		}
	}
}

func TestInstallAndUninstall(t *testing.T) {
	m, ran, out := machine(t)
	flags, err := m.keepToken("node", []string{"--server", "https://10.0.0.1:6443", "--token", "abc.def", "--token=ghi.jkl", "--name", "a"})
	if err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(m.Root, "/etc/wheelhouse/join-token")
	if text, err := os.ReadFile(held); err != nil || string(text) != "ghi.jkl\n" {
		t.Errorf("the token's file: %q, %v", text, err)
	}
	if info, err := os.Stat(held); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file for root alone", info, err)
	}
	for range 2 { // again, with other flags
		if err := m.Install(t.Context(), Service{Role: "node", Program: "/usr/bin/wheelhouse", Args: flags}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(m.path("node"))
	if err != nil || strings.Contains(string(text), "abc.def") || strings.Contains(string(text), "ghi.jkl") || !strings.Contains(string(text), "--token-file "+held) {
		t.Errorf("%v: %s", err, text)
	}
	foreign := m.path("server")
	if err := os.WriteFile(foreign, []byte("[Service]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Install(t.Context(), Service{Role: "server", Program: "/usr/bin/wheelhouse"}); err == nil || !strings.Contains(err.Error(), foreign) {
		t.Errorf("over a unit of somebody else: %v", err)
	}
	for range 2 {
		if err := m.Uninstall(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{m.path("node"), held} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("the unit of somebody else: %v", err)
	}
	start := []string{"systemctl daemon-reload", "systemctl enable wheelhouse-node.service", "systemctl restart wheelhouse-node.service"}
	if want := slices.Concat(start, start, []string{"systemctl disable --now wheelhouse-node.service", "systemctl daemon-reload"}); !slices.Equal(*ran, want) {
		t.Errorf("ran %q, want %q", *ran, want)
	}
	if !strings.Contains(out.String(), "journalctl -u wheelhouse-node.service") || !strings.Contains(out.String(), "wheelhouse-node.service  gone") {
		t.Errorf("printed %q", out)
	}
}

// A machine without systemd says so, and nothing is written.
func TestWithoutSystemd(t *testing.T) {
	m, ran, _ := machine(t)
	if err := os.RemoveAll(filepath.Join(m.Root, "run")); err != nil {
		t.Fatal(err)
	}
	if err := m.Install(t.Context(), Service{Role: "node", Program: "/usr/bin/wheelhouse"}); err == nil || !strings.Contains(err.Error(), "systemd does not run on this machine") {
		t.Errorf("installed: %v", err)
	}
	if err := m.Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(m.path("node")); err == nil || len(*ran) > 0 {
		t.Errorf("a unit, %q", *ran)
	}
}
