package nodefs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/kubelet/fixture"
)

// memoryFor is how many bytes f allocates.
func memoryFor(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The node's file of hosts lies on a disk that pods can write to.
func TestHostsThatAPodHasReplaced(t *testing.T) {
	for name, put := range map[string]func(string) error{
		"a pipe":      func(p string) error { fixture.Pipe(t, p); return nil },
		"a large":     func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o644), os.Truncate(p, 1<<30)) },
		"a device":    func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) }, // null
		"a link":      func(p string) error { return os.Symlink("/outside", p) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"none there":  func(string) error { return nil },
	} {
		disk := t.TempDir()
		if err := errors.Join(os.Mkdir(filepath.Join(disk, "etc"), 0o755), put(filepath.Join(disk, "etc/hosts"))); err != nil {
			t.Fatal(err)
		}
		machine, err := os.ReadFile("/etc/hosts")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if grown := memoryFor(func() { got = Hosts(disk) }); got != withNewline(machine) || grown > 64<<20 {
			t.Errorf("%s: %.100q, read with %d bytes of memory", name, got, grown)
		}
	}
}
