//go:build !quick

package nodefs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A memory file system is kept out of swap where the kernel can.
func TestTmpfs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "memory")
	if err := MountTmpfs(dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	options := ""
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, " "+dir+" ") {
			options = line
		}
	}
	if !strings.Contains(options, "size=1024k") || strings.Contains(options, "noswap") != NoSwap(t.TempDir()) {
		t.Errorf("mounted as %q", options)
	}
}

// A directory that is removed takes nothing along that is mounted below it, though its path
// leads over a link and the kernel lists mounts by another one.
func TestRemoveTreeBehindALink(t *testing.T) {
	top := t.TempDir()
	precious, dir := filepath.Join(top, "precious"), filepath.Join(top, "link/pods/uid")
	for _, err := range []error{
		os.Mkdir(precious, 0o755), os.WriteFile(filepath.Join(precious, "file"), nil, 0o600),
		os.Mkdir(filepath.Join(top, "real"), 0o755), os.Symlink("real", filepath.Join(top, "link")),
		os.MkdirAll(filepath.Join(dir, "mounted"), 0o755), unix.Mount(precious, filepath.Join(dir, "mounted"), "", unix.MS_BIND, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "mounted"), unix.MNT_DETACH) })
	if err := UnmountAndRemove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Errorf("what was mounted is gone: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// What a container has mounted in a host path, so that the node has it, outlives the pod.
func TestRemoveTreeKeepsWhatWasPropagated(t *testing.T) {
	top := t.TempDir()
	disk, target := filepath.Join(top, "disk"), filepath.Join(top, "pod/v")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(disk, "sub"), 0o755), unix.Mount(disk, disk, "", unix.MS_BIND, ""), unix.Mount("", disk, "", unix.MS_SHARED, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = UnmountBelow(top) })
	for _, again := range []bool{false, true} {
		f, err := os.Open(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := BindMount(f, target, unix.MS_REC); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if !again {
			if err := unix.Mount("tmpfs", filepath.Join(target, "sub"), "tmpfs", 0, "size=4096"); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := IsMountPoint(filepath.Join(disk, "sub")); err != nil || !there {
			t.Fatalf("pinned again: %v: what was mounted in the volume is not on the disk: %v", again, err)
		}
	}
	if err := UnmountAndRemove(filepath.Dir(target)); err != nil {
		t.Fatal(err)
	}
	if there, err := IsMountPoint(filepath.Join(disk, "sub")); err != nil || !there {
		t.Errorf("what was mounted in the volume is gone with the pod: %v", err)
	}
}
