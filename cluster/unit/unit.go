// Package unit installs server and node as services of systemd on a machine that has the program
// alone: the units are those of the Debian package, with the program's path and flags in place of the
// package's files of settings. It owns the units that have its mark, and changes no other.
//
// The caller runs as root. A token is kept in a file that root alone can read, as units can be read by all.
package unit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"wheelhouse/arm/deb"
)

const mark = "# Written by `wheelhouse install`; `wheelhouse uninstall` removes it.\n"

// Machine is where units are written.
type Machine struct {
	Root string // of the file system: "" or, in tests, another directory
	// Run runs a command to its end; nil: as the machine does.
	Run func(ctx context.Context, args ...string) error
	Out io.Writer
}

// Service is what runs.
type Service struct {
	Role    string // server or node
	Program string // its path
	Args    []string
}

func (m *Machine) path(role string) string {
	return filepath.Join(m.Root, "/etc/systemd/system/wheelhouse-"+role+".service")
}

// tokenPath is the file of the token that a role joins with.
func (m *Machine) tokenPath(role string) string {
	name := map[string]string{"node": "join-token", "server": "master-token"}[role]
	return filepath.Join(m.Root, "/etc/wheelhouse", name)
}

func (m *Machine) run(ctx context.Context, args ...string) error {
	if m.Run != nil {
		return m.Run(ctx, args...)
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// systemd returns an error that says what to do on a machine that was not started by systemd.
func (m *Machine) systemd() error {
	if _, err := os.Stat(filepath.Join(m.Root, "/run/systemd/system")); err != nil {
		return errors.New("systemd does not run on this machine: start `wheelhouse server` or `wheelhouse node` from its own init system, and restart it when it ends")
	}
	return nil
}

// Install writes the service's unit, starts it, and has it start with the machine.
func (m *Machine) Install(ctx context.Context, s Service) error {
	if err := m.systemd(); err != nil {
		return err
	}
	path := m.path(s.Role)
	if have, err := os.ReadFile(path); err == nil && !strings.HasPrefix(string(have), mark) {
		return fmt.Errorf("%s is there and not written by wheelhouse install: remove it first", path)
	}
	text, err := Text(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the unit: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the unit: %w", err)
	}
	name := filepath.Base(path)
	for _, c := range [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "enable", name}, {"systemctl", "restart", name}} {
		if err := m.run(ctx, c...); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(m.Out, "%s runs, and starts with the machine; its log: journalctl -u %s\n", name, name)
	return err
}

// Uninstall stops and removes the units that Install has written.
func (m *Machine) Uninstall(ctx context.Context) error {
	removed := false
	for _, role := range []string{"node", "server"} {
		path := m.path(role)
		have, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(have), mark) {
			continue
		}
		if err != nil {
			return fmt.Errorf("remove the unit: %w", err)
		}
		if err := m.systemd(); err == nil {
			if err := m.run(ctx, "systemctl", "disable", "--now", filepath.Base(path)); err != nil {
				return err
			}
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the unit: %w", err)
		}
		if err := os.Remove(m.tokenPath(role)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the token: %w", err)
		}
		removed = true
		fmt.Fprintf(m.Out, "%s  gone\n", path)
	}
	if !removed {
		return nil
	}
	if m.systemd() == nil {
		return m.run(ctx, "systemctl", "daemon-reload")
	}
	return nil
}

// Text returns a service's unit: the package's, but for what the package has in files of settings.
func Text(s Service) (string, error) {
	packaged, err := fs.ReadFile(deb.Units, "root/usr/lib/systemd/system/wheelhouse-"+s.Role+".service")
	if err != nil {
		return "", fmt.Errorf("%q: want server or node", s.Role)
	}
	var b strings.Builder
	b.WriteString(mark)
	for line := range strings.Lines(string(packaged)) {
		key, _, _ := strings.Cut(line, "=")
		switch key {
		case "Documentation", "ConditionPathExists", "Environment", "EnvironmentFile", "ExecStartPre":
		case "ExecStart":
			words := make([]string, 0, len(s.Args)+2)
			for _, w := range append([]string{s.Program, s.Role}, s.Args...) {
				words = append(words, quote(w))
			}
			b.WriteString("ExecStart=" + strings.Join(words, " ") + "\n")
		default:
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

// quote returns a word of a command line as systemd reads it: nothing in it is a variable or a specifier.
func quote(word string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$", "%", "%%", "\n", `\n`).Replace(word)
	if escaped == word && word != "" && !strings.ContainsAny(word, " \t';") {
		return word
	}
	return `"` + escaped + `"`
}
