package kubelet

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A path that is made in a volume may be used by whom the volume may be; one that is
// there keeps its rights.
func TestSubPathRights(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{".": 0o777 | fs.ModeSetgid | fs.ModeSticky, "there": 0o750} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, -1, 123); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		sub  string
		mode map[string]fs.FileMode
	}{
		{"new/er", map[string]fs.FileMode{"new": 0o777 | fs.ModeSetgid | fs.ModeSticky, "new/er": 0o777 | fs.ModeSetgid | fs.ModeSticky}},
		{"there/new", map[string]fs.FileMode{"there": 0o750, "there/new": 0o777 | fs.ModeSticky}},
	} {
		f, err := openSubPath(dir, c.sub, false)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		for name, want := range c.mode {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode() &^ fs.ModeDir; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	if group := groupOf(filepath.Join(dir, "new/er")); group != 123 {
		t.Errorf("group %d", group)
	}
	if f, err := openSubPath(dir, "never", true); err == nil {
		f.Close()
		t.Error("a path was made in a volume that is read-only")
	}
}
