//go:build !quick

package kubelet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// On a node's own disk links mean what they mean on a machine's, and lead nowhere else.
func TestHostPathLinks(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "disk")
	for _, dir := range []string{"disk/tmp/data/sub", "outside"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"tmp/absolute": "/tmp/data", "tmp/relative": "data", "tmp/above": "../../../../tmp/data", "tmp/twice": "/tmp/absolute/sub",
		"tmp/machine": filepath.Join(top, "outside"), "tmp/up": "../../outside", "tmp/self": "self",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/": "", "/tmp/data": "tmp/data", "/tmp/absolute": "tmp/data", "/tmp/relative/sub": "tmp/data/sub", "/tmp/above": "tmp/data",
		"/tmp/twice": "tmp/data/sub", "/tmp/relative/../data": "tmp/data", "/tmp/relative/new/er": "tmp/data/new/er", "/../../tmp": "tmp",
	} {
		f, mode, err := openHostPath(root, hostPathSpec(path, v1.HostPathDirectoryOrCreate).HostPath)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if same, err := sameAs(f, filepath.Join(root, want)); err != nil || !same || !mode.IsDir() {
			t.Errorf("%s: it is not %s: %v", path, want, err)
		}
		f.Close()
	}
	for path, want := range map[string]string{
		"/tmp/machine":    "hostPath type check failed: /tmp/machine is not a directory",
		"/tmp/up":         "hostPath type check failed: /tmp/up is not a directory",
		"/tmp/self":       "too many levels of symbolic links",
		"/tmp/data/sub/x": "hostPath type check failed: /tmp/data/sub/x is not a directory",
	} {
		if _, _, err := openHostPath(root, hostPathSpec(path, v1.HostPathDirectory).HostPath); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(top, "outside"))
	if err != nil || len(left) != 0 {
		t.Errorf("outside: %v, %v", left, err)
	}
}
