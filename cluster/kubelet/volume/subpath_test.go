//go:build !quick

package volume

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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

// What a pod has put into a volume is mounted without being opened: to open a device can
// do something to the machine, and a socket cannot be opened at all. Links may lead within
// the volume.
func TestSubPathOfSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o600, int(unix.Mkdev(250, 250))), // which no driver has
		unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0),
		os.Mkdir(filepath.Join(dir, "sub"), 0o755), os.Symlink("../socket", filepath.Join(dir, "sub/link")), os.Symlink("sub/link", filepath.Join(dir, "twice")),
		os.Symlink("../outside", filepath.Join(dir, "out")), os.Symlink("/etc", filepath.Join(dir, "etc")), os.Symlink("self", filepath.Join(dir, "self")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for sub, want := range map[string]string{"device": "device", "socket": "socket", "sub/link": "socket", "twice": "socket"} {
		f, err := openSubPath(dir, sub, false)
		if err != nil {
			t.Errorf("%s: %v", sub, err)
			continue
		}
		if same, err := sameAs(f, filepath.Join(dir, want)); err != nil || !same {
			t.Errorf("%s: it is not %s: %v", sub, want, err)
		}
		f.Close()
	}
	for _, sub := range []string{"out", "etc", "etc/passwd", "self"} {
		if f, err := openSubPath(dir, sub, false); err == nil {
			f.Close()
			t.Errorf("%s was opened", sub)
		}
	}
}
