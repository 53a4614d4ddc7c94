package volume

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// A node that has the provisioner's volumes alone mounts no path, device or server that somebody else has written.
func TestOthersVolumesAreRefused(t *testing.T) {
	m := NewManager(Config{HostRoot: t.TempDir(), Provisioned: true}, t.TempDir())
	at := func(path string) v1.PersistentVolumeSource {
		return v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path}}
	}
	nfs := v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "192.0.2.1", Path: "/"}}
	local := v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: "/srv/volumes/pv"}}
	const by = "pv.kubernetes.io/provisioned-by"
	for what, pv := range map[string]*v1.PersistentVolume{
		"a path":                    {Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv")}},
		"another's path":            {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/other")}},
		"a path within":             {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv/device")}},
		"a path out":                {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv/../../..")}},
		"the machine":               {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/")}},
		"a file server":             {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: nfs}},
		"a local volume":            {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: local}},
		"a device":                  {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv"), VolumeMode: new(v1.PersistentVolumeBlock)}},
		"options of a mount":        {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv"), MountOptions: []string{"dev"}}},
		"options of old manifests'": {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{by: provisioner, v1.MountOptionAnnotation: "dev"}}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: at("/srv/volumes/pv")}},
	} {
		pv.Name = "pv"
		if _, err := m.persistent(t.Context(), "v", pv); err == nil || !strings.Contains(err.Error(), "is not of this cluster's provisioner") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(m.HostRoot, provisionedDir)); err == nil && len(left) > 0 {
		t.Errorf("directories were made: %v", left)
	}
}
