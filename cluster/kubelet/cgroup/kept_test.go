package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

// A group gets the limits back that it had when it was first looked at, until the caller says that they are others.
func TestKept(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("cgroup.controllers", "cpu memory pids")
	write("pod/c/cpu.max", "50000 100000\n")
	write("pod/c/memory.max", "1048576\n")
	g := At(root)
	var k Kept
	for _, step := range []struct {
		name, file, text, version string
		changed                   bool
		want                      string
	}{
		{"a first look", "memory.max", "1048576\n", "1", false, "1048576\n"},
		{"nothing has changed", "memory.max", "1048576\n", "1", false, "1048576\n"},
		{"another program removes a limit", "memory.max", "max\n", "1", true, "1048576"},
		{"it is mended once", "cpu.max", "50000 100000\n", "1", false, "50000 100000\n"},
		{"another program narrows a limit", "cpu.max", "1000 100000\n", "1", true, "50000 100000"},
		{"the container gets another size", "memory.max", "2097152\n", "2", false, "2097152\n"},
		{"the limit of that size is removed", "memory.max", "max\n", "2", true, "2097152"},
	} {
		write(filepath.Join("pod/c", step.file), step.text)
		changed, err := k.Restore(g, "c", "pod/c", step.version)
		if err != nil || changed != step.changed {
			t.Errorf("%s: changed %v, %v", step.name, changed, err)
		}
		if text, err := os.ReadFile(filepath.Join(root, "pod/c", step.file)); err != nil || string(text) != step.want {
			t.Errorf("%s: %q, %v; want %q", step.name, text, err, step.want)
		}
	}
	if err := os.RemoveAll(filepath.Join(root, "pod/c")); err != nil {
		t.Fatal(err)
	}
	if changed, err := k.Restore(g, "c", "pod/c", "2"); changed || err != nil {
		t.Errorf("a group that has ended: %v, %v", changed, err)
	}
	k.Retain(nil)
	if len(k.groups) > 0 {
		t.Errorf("left: %v", k.groups)
	}
}
