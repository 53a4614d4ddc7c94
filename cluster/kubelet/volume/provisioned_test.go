package volume

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProvisionedVolume(t *testing.T) {
	disk := t.TempDir()
	for range 2 {
		if err := createProvisioned(disk, "pvc-1"); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(disk, provisionedDir, "pvc-1")
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Fatalf("%v, %v", info, err)
	}
	outside := filepath.Join(disk, "precious")
	for _, err := range []error{os.WriteFile(outside, nil, 0o600), os.Symlink(outside, filepath.Join(dir, "link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is not there is removed already
		if err := RemoveProvisioned(disk, "pvc-1"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the dir is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link led to: %v", err)
	}
}
