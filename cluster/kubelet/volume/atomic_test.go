//go:build !quick

package volume

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestTokensBelongToTheirReader: whose containers run as one user, or whose pod has a
// group, gets tokens that no other user can read.
func TestTokensBelongToTheirReader(t *testing.T) {
	user, other, group := int64(1000), int64(1001), int64(10000)
	as := func(u *int64) v1.Container { return v1.Container{SecurityContext: &v1.SecurityContext{RunAsUser: u}} }
	for _, c := range []struct {
		name       string
		pod        v1.PodSecurityContext
		containers []v1.Container
		mode       os.FileMode
		uid, gid   uint32
	}{
		{"nobody said", v1.PodSecurityContext{}, []v1.Container{{}}, 0o644, 0, 0},
		{"user", v1.PodSecurityContext{RunAsUser: &user}, []v1.Container{{}}, 0o600, 1000, 0},
		{"group", v1.PodSecurityContext{FSGroup: &group}, []v1.Container{{}}, 0o640, 0, 10000},
		{"both", v1.PodSecurityContext{RunAsUser: &user, FSGroup: &group}, []v1.Container{{}}, 0o640, 1000, 10000},
		{"containers' user", v1.PodSecurityContext{RunAsUser: &other}, []v1.Container{as(&user), as(&user)}, 0o600, 1000, 0},
		{"several users", v1.PodSecurityContext{RunAsUser: &other}, []v1.Container{as(&user), {}}, 0o644, 0, 0},
		{"an image's user", v1.PodSecurityContext{}, []v1.Container{as(&user), {}}, 0o644, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := &v1.Pod{Spec: v1.PodSpec{SecurityContext: &c.pod, Containers: c.containers}}
			dir := t.TempDir()
			token := file{data: []byte("t"), mode: tokenMode(pod, defaultMode), owner: userOf(pod)}
			if _, err := writeVolume(dir, payload{"token": token}, fsGroup(pod), "now"); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, "token"))
			if err != nil {
				t.Fatal(err)
			}
			is := info.Sys().(*syscall.Stat_t)
			if info.Mode().Perm() != c.mode || is.Uid != c.uid || is.Gid != c.gid {
				t.Errorf("got %v of %d:%d, want %v of %d:%d", info.Mode(), is.Uid, is.Gid, c.mode, c.uid, c.gid)
			}
		})
	}
}

// A reader sees the old content or the new one, never a mixture, and the names
// that have gone are gone.
func TestWriteVolume(t *testing.T) {
	dir := t.TempDir()
	write := func(files payload) bool {
		t.Helper()
		changed, err := writeVolume(dir, files, -1, "now")
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	first := payload{"a": {data: []byte("1"), mode: 0o644}, "d/e": {data: []byte("2"), mode: 0o600}}
	if !write(first) || read("a") != "1" || read("d/e") != "2" {
		t.Errorf("first: %q %q", read("a"), read("d/e"))
	}
	if write(first) {
		t.Error("the same content is written again")
	}
	before, _ := os.Readlink(filepath.Join(dir, "..data"))
	if !write(payload{"a": {data: []byte("3"), mode: 0o644}, "f": {mode: 0o644}}) || read("a") != "3" || read("f") != "" {
		t.Errorf("second: %q %q", read("a"), read("f"))
	}
	if _, err := os.Lstat(filepath.Join(dir, "d")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that has gone: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, before)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old content: %v", err)
	}
}
