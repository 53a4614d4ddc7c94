//go:build !quick

package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a kubelet has left, its volumes in memory included, is gone; a link is not followed, and
// what is beside the pods stays.
func TestRemoveNode(t *testing.T) {
	dir := t.TempDir()
	elsewhere := t.TempDir()
	volume := filepath.Join(dir, "pods", "uid", "volumes", "kubernetes.io~secret", "token")
	for _, d := range []string{volume, filepath.Join(dir, "disk")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kept := []string{filepath.Join(elsewhere, "kept"), filepath.Join(dir, "disk", "kept")}
	for _, f := range kept {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "pods", "uid", "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", volume, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) }) // gone, unless the test fails
	cluster := fmt.Sprintf("gone-%d", os.Getpid())
	group := filepath.Join(cgroupRoot, "wheelhouse", cluster, "n", "kubepods", "burstable")
	if _, err := os.Stat(filepath.Join(cgroupRoot, "memory")); err == nil {
		group = filepath.Join(cgroupRoot, "memory", "wheelhouse", cluster, "n", "kubepods", "burstable")
	}
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	n := NodeConfig{Cluster: cluster, Name: "n", Dir: dir}
	for _, when := range []string{"first", "again"} {
		if err := RemoveNode(t.Context(), n); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	if points, err := mountsBelow(dir); err != nil || len(points) > 0 {
		t.Errorf("mounts are left: %v, %v", points, err)
	}
	for _, gone := range []string{filepath.Join(dir, "pods"), strings.TrimSuffix(group, "/n/kubepods/burstable")} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	for _, f := range kept {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

// Beside the groups there are files, in version 2 at the root.
func TestRemoveGroups(t *testing.T) {
	for _, hierarchy := range []string{"", "memory"} {
		root := t.TempDir()
		for _, dir := range []string{"wheelhouse/a/n/kubepods", "wheelhouse/a/m", "system.slice"} {
			if err := os.MkdirAll(filepath.Join(root, hierarchy, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ group, gone, kept string }{
			{"/wheelhouse/a/n", "wheelhouse/a/n", "wheelhouse/a/m"},
			{"/wheelhouse/a", "wheelhouse", "system.slice"},
			{"/wheelhouse/a", "wheelhouse", "system.slice"},
		} {
			if err := removeGroups(t.Context(), root, c.group); err != nil {
				t.Errorf("%q, %s: %v", hierarchy, c.group, err)
			}
			if _, err := os.Stat(filepath.Join(root, hierarchy, c.gone)); !os.IsNotExist(err) {
				t.Errorf("%q, %s: %s is left: %v", hierarchy, c.group, c.gone, err)
			}
			if _, err := os.Stat(filepath.Join(root, hierarchy, c.kept)); err != nil {
				t.Errorf("%q, %s: %v", hierarchy, c.group, err)
			}
		}
	}
}

func TestRemoveNodeNeedsNameAndDirectory(t *testing.T) {
	for _, n := range []NodeConfig{{Name: "n"}, {Dir: t.TempDir()}, {Name: "../../..", Dir: t.TempDir()}, {Cluster: "../x", Name: "n", Dir: t.TempDir()}} {
		if err := RemoveNode(t.Context(), n); err == nil {
			t.Errorf("%+v: no error", n)
		}
	}
}
