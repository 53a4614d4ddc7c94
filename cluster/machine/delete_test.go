package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDeleteData(t *testing.T) {
	m := newMachine(t)
	m.file(t, DefaultStateDir+"/server/etcd/wal", "x")
	m.file(t, DefaultStateDir+"/wheelhouse/admin.kubeconfig", "a local cluster's")
	m.file(t, serverEnv, "x")
	enabled := "systemctl is-enabled " + serverUnit
	m.prints[enabled] = "enabled\n"
	if err := m.DeleteData(t.Context(), true); err == nil || !strings.Contains(err.Error(), "disable-node") {
		t.Errorf("of a running master: %v", err)
	}
	delete(m.prints, enabled)
	if err := m.DeleteData(t.Context(), false); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("without a person: %v", err)
	}
	m.Terminal = true
	for _, answer := range []string{"n\n", "\n"} {
		m.In = strings.NewReader(answer)
		if err := m.DeleteData(t.Context(), false); err != nil || m.text(t, serverEnv) != "x" {
			t.Errorf("answer %q: %v", answer, err)
		}
	}
	m.In = strings.NewReader("y\n")
	if err := m.DeleteData(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{DefaultStateDir + "/server", serverEnv} {
		if _, err := os.Stat(m.path(gone)); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	if m.text(t, DefaultStateDir+"/wheelhouse/admin.kubeconfig") == "" {
		t.Error("a local cluster's data is gone")
	}
}

// A directory of the state may be behind a link, as on a disk of its own: volumes that are mounted there stay.
func TestDeleteDataBehindALink(t *testing.T) {
	m := newMachine(t)
	disk, volume := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "data"), []byte("of a pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	mount := filepath.Join(disk, "node/kubelet/pods/u/volumes/v")
	if err := errors.Join(os.MkdirAll(mount, 0o700), os.MkdirAll(filepath.Dir(m.path(DefaultStateDir)), 0o700), os.RemoveAll(m.path(DefaultStateDir)), os.Symlink(disk, m.path(DefaultStateDir))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(volume, mount, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mounts are needed, so root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	if err := m.DeleteData(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(disk, "node")); !os.IsNotExist(err) {
		t.Errorf("the node's directory is left: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(volume, "data")); string(text) != "of a pod" {
		t.Errorf("the volume has lost its data: %v", err)
	}
}
