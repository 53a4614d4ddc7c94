package kubelet

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestProvisionedVolume(t *testing.T) {
	disk := t.TempDir()
	k := &Kubelet{log: slog.New(slog.DiscardHandler), config: Config{HostRoot: disk}}
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"}}
	for range 2 {
		if err := k.makeProvisioned(pv); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(disk, provisionedFolder, "pvc-1")
	info, err := os.Stat(folder)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("%v, %v", info, err)
	}
	outside := filepath.Join(disk, "precious")
	for _, err := range []error{os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(folder, "link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is not there is removed already
		if err := (served{k}).RemoveProvisioned("pvc-1"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link led to: %v", err)
	}
}
