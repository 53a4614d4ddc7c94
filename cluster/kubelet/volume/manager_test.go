package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// A pod can put anything where a file with variables is expected.
func TestEnvFile(t *testing.T) {
	m := NewManager(Config{}, t.TempDir())
	pod := &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}}}
	if err := m.SetUp(t.Context(), pod, "", nil); err != nil {
		t.Fatal(err)
	}
	v, _ := m.Get("v")
	outside := filepath.Join(t.TempDir(), "secret")
	for _, err := range []error{
		os.WriteFile(outside, []byte("outside"), 0o600), os.Mkdir(filepath.Join(v.Path, "d"), 0o755),
		os.WriteFile(filepath.Join(v.Path, "d/env"), []byte("A='1'"), 0o644), os.Symlink("/d/env", filepath.Join(v.Path, "link")),
		os.Symlink(outside, filepath.Join(v.Path, "out")), os.Symlink("../../../../../../../.."+outside, filepath.Join(v.Path, "up")),
		unix.Mkfifo(filepath.Join(v.Path, "pipe"), 0o644), os.WriteFile(filepath.Join(v.Path, "large"), make([]byte, maxEnvFile+1), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"d/env": "A='1'", "link": "A='1'",
		"none":  `couldn't parse env file: none of volume "v": no such file or directory`,
		"out":   `couldn't parse env file: out of volume "v": no such file or directory`,
		"up":    `couldn't parse env file: up of volume "v": no such file or directory`,
		"pipe":  `couldn't parse env file: pipe of volume "v": it is not a regular file`,
		"d":     `couldn't parse env file: d of volume "v": it is not a regular file`,
		"large": `couldn't parse env file: large of volume "v": it has more than 1048576 bytes`,
	} {
		text, err := m.EnvFile("v", path)
		got := string(text)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || len(got) != len(want) {
			t.Errorf("%s: %.200q", path, got)
		}
	}
	if _, err := m.EnvFile("w", "env"); err == nil || err.Error() != `cannot find the volume "w" referenced by FileKeyRef` {
		t.Errorf("another volume: %v", err)
	}
}
