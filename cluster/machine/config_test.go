package machine

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testMachine is a machine in a directory: Linux with 925 MiB, whose programs are recorded. A
// program answers what answers has for its command line, or for the beginning of it.
type testMachine struct {
	*Machine
	out     bytes.Buffer
	ran     []string
	answers map[string]error // nil answers are the default
	prints  map[string]string
}

func newMachine(t *testing.T) *testMachine {
	t.Helper()
	m := &testMachine{answers: map[string]error{}, prints: map[string]string{}}
	run := func(_ context.Context, _ bool, name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		m.ran = append(m.ran, line)
		for start, err := range m.answers {
			if strings.HasPrefix(line, start) {
				return "", err
			}
		}
		return m.prints[line], nil
	}
	m.Machine = New(Config{
		Root: t.TempDir(), In: strings.NewReader(""), Out: &m.out, Run: run,
		Kubectl: func(ctx context.Context, kubeconfig string, args ...string) (string, error) {
			return run(ctx, false, "kubectl", append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
		},
		Local:    func(netip.Addr) (netip.Addr, error) { return netip.MustParseAddr("192.168.1.102"), nil },
		Now:      time.Now,
		SetClock: func(time.Time) error { t.Error("the clock was set"); return nil },
		Patience: time.Minute,
	})
	m.file(t, "/proc/meminfo", "MemTotal:         947200 kB\nMemAvailable:     833536 kB\n")
	m.file(t, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
	m.file(t, "/proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100\n")
	return m
}

func (m *testMachine) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m *testMachine) text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(m.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// has reports whether a program ran with this command line.
func (m *testMachine) has(line string) bool {
	for _, l := range m.ran {
		if l == line {
			return true
		}
	}
	return false
}

var errOff = errors.New("exit status 1")

func TestWriteReplacesAFileAsAWhole(t *testing.T) {
	m := newMachine(t)
	m.file(t, "/etc/a", "old")
	if err := m.write("/etc/a", "new", 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(m.path("/etc/a"))
	if err != nil || info.Mode() != 0o600 || m.text(t, "/etc/a") != "new" {
		t.Errorf("%v, %v, %q", err, info.Mode(), m.text(t, "/etc/a"))
	}
	if left, _ := os.ReadDir(m.path("/etc")); len(left) != 1 {
		t.Errorf("a temporary file is left: %v", left)
	}
}

func TestStateDir(t *testing.T) {
	m := newMachine(t)
	if got := m.stateDir(); got != DefaultStateDir {
		t.Errorf("at first %s", got)
	}
	for _, dir := range []string{"", "/media/stick/wheelhouse/", ""} {
		if err := m.useStateDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.stateDir(); got != "/media/stick/wheelhouse" {
		t.Errorf("the chosen directory is not kept: %s", got)
	}
	for _, unit := range []string{serverUnit, nodeUnit} {
		if text, err := m.read("/etc/systemd/system/" + unit + ".d/state.conf"); err != nil || text != "[Unit]\nRequiresMountsFor=/media/stick/wheelhouse\n" {
			t.Errorf("%s: %q, %v", unit, text, err)
		}
	}
	if err := m.useStateDir("stick"); err == nil {
		t.Error("a relative path is accepted")
	}
	m.file(t, "/media/stick/wheelhouse/server/pki/ca.crt", "")
	if err := m.useStateDir("/elsewhere"); err == nil || !strings.Contains(err.Error(), "delete-data") {
		t.Errorf("a cluster's data is left behind: %v", err)
	}
	if err := m.useStateDir(""); err != nil {
		t.Error(err)
	}
}
