package volume

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

// A volume that another program has removed is missing until it is set up again, however often that fails.
func TestMissing(t *testing.T) {
	m := NewManager(Config{}, t.TempDir())
	pod := &v1.Pod{Spec: v1.PodSpec{Volumes: []v1.Volume{
		{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		{Name: "image", VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{}}},
	}}}
	if m.Complete(pod) {
		t.Error("complete before it is set up")
	}
	if err := m.SetUp(t.Context(), pod, "", nil); err != nil || !m.Complete(pod) {
		t.Fatalf("set up: %v", err)
	}
	v, _ := m.Get("v")
	parent := filepath.Dir(v.Path)
	if err := errors.Join(os.RemoveAll(parent), os.WriteFile(parent, nil, 0o644)); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	for i := range 2 {
		found, known, err := m.Missing()
		missing := slices.Concat(found, known)
		if err != nil || !slices.Equal(missing, []string{"v"}) || len(known) != i {
			t.Fatalf("look %d: found missing %v, known %v, %v", i, found, known, err)
		}
		if _, ok := m.Get("v"); ok {
			t.Error("a missing volume is set up")
		}
		if err := m.SetUpAgain(t.Context(), pod, "", nil, missing); err == nil {
			t.Fatal("a directory below a file is made")
		}
	}
	if err := os.Remove(parent); err != nil {
		t.Fatal(err)
	}
	if err := m.SetUpAgain(t.Context(), pod, "", nil, []string{"v"}); err != nil {
		t.Fatal(err)
	}
	if found, known, err := m.Missing(); err != nil || len(found)+len(known) > 0 {
		t.Errorf("missing after it is set up: %v %v %v", found, known, err)
	}
	if _, ok := m.Get("v"); !ok {
		t.Error("the volume is not set up")
	}
}
