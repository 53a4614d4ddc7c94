//go:build !quick

package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// localDisk returns a disk with /data/inside, and a directory that is not on it.
func localDisk(t *testing.T) (disk, outside string, m *Manager) {
	t.Helper()
	top := t.TempDir()
	disk, outside = filepath.Join(top, "disk"), filepath.Join(top, "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(disk, "data"), 0o755), os.Mkdir(outside, 0o755),
		os.WriteFile(filepath.Join(disk, "data/inside"), nil, 0o644), os.WriteFile(filepath.Join(disk, "file"), []byte("inside"), 0o644),
		os.WriteFile(filepath.Join(outside, "secret"), []byte("outside"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m = NewManager(Config{HostRoot: disk}, filepath.Join(top, "kubelet/pods/uid"))
	m.pod = &v1.Pod{}
	t.Cleanup(func() {
		if err := nodefs.UnmountAndRemove(m.dir); err != nil {
			t.Error(err)
		}
	})
	return disk, outside, m
}

// swap makes a path of the disk a link that leads out of it, as a pod could.
func swap(t *testing.T, path, to string) {
	t.Helper()
	if err := os.Rename(path, path+".was"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

func hostPathSpec(path string, kind v1.HostPathType) *v1.Volume {
	return &v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}}}
}

// What the runtime mounts is what was looked at, though the path leads out of the node's
// disk by then.
func TestHostPathSwappedBeforeTheMount(t *testing.T) {
	for _, kind := range []v1.HostPathType{v1.HostPathUnset, v1.HostPathDirectory, v1.HostPathDirectoryOrCreate} {
		disk, outside, m := localDisk(t)
		got, err := m.setUp(t.Context(), hostPathSpec("/data", kind))
		if err != nil {
			t.Fatal(err)
		}
		swap(t, filepath.Join(disk, "data"), outside)
		if _, err := os.Stat(filepath.Join(got.Path, "inside")); err != nil {
			t.Errorf("%q: the volume has not the directory's content: %v", kind, err)
		}
		if _, err := os.Stat(filepath.Join(got.Path, "secret")); err == nil {
			t.Errorf("%q: the volume is a directory that is not on the node's disk", kind)
		}
	}
	for _, kind := range []v1.HostPathType{v1.HostPathFile, v1.HostPathFileOrCreate} {
		disk, outside, m := localDisk(t)
		got, err := m.setUp(t.Context(), hostPathSpec("/file", kind))
		if err != nil {
			t.Fatal(err)
		}
		swap(t, filepath.Join(disk, "file"), filepath.Join(outside, "secret"))
		if data, err := os.ReadFile(got.Path); err != nil || string(data) != "inside" {
			t.Errorf("%q: %q, %v", kind, data, err)
		}
	}
}

// The same for a directory above, and for volumes of the other kinds that lie on the disk.
func TestVolumeSwappedBeforeTheMount(t *testing.T) {
	disk, outside, m := localDisk(t)
	if err := os.Mkdir(filepath.Join(outside, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(disk, "data/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	local := localPV("/data/sub", v1.PersistentVolumeFilesystem)
	host := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "host"}, Spec: v1.PersistentVolumeSpec{
		PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/data/sub"}},
	}}
	var paths []string
	for name, pv := range map[string]*v1.PersistentVolume{"a": local, "b": host} {
		got, err := m.persistent(t.Context(), name, pv)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, got.Path)
	}
	swap(t, filepath.Join(disk, "data"), outside)
	for _, path := range paths {
		if err := os.WriteFile(filepath.Join(path, "written"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "sub/written")); err == nil {
		t.Error("a volume is a directory that is not on the node's disk")
	}
	if _, err := os.Stat(filepath.Join(disk, "data.was/sub/written")); err != nil {
		t.Errorf("a volume is not the directory that it was: %v", err)
	}
}

// A device is formatted and mounted as what was looked at, too.
func TestDeviceSwappedBeforeTheMount(t *testing.T) {
	disk, outside, m := localDisk(t)
	device := filepath.Join(disk, "device")
	if err := unix.Mknod(device, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 255))); err != nil {
		t.Fatal(err)
	}
	got, err := m.persistent(t.Context(), "v", localPV("/device", v1.PersistentVolumeBlock))
	if err != nil {
		t.Fatal(err)
	}
	swap(t, device, filepath.Join(outside, "secret"))
	if info, err := os.Stat(got.Path); err != nil || !isBlockDevice(info.Mode()) {
		t.Errorf("%v, %v", info, err)
	}
}

// The directory of provisioned volumes may have become a link: neither are volumes made
// where it leads, nor is anything removed there.
func TestProvisionedFolderSwapped(t *testing.T) {
	disk, outside, _ := localDisk(t)
	for _, link := range []string{"srv", "srv/volumes"} {
		if err := os.RemoveAll(filepath.Join(disk, "srv")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(disk, filepath.Dir(link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(disk, link)); err != nil {
			t.Fatal(err)
		}
		_ = createProvisioned(disk, "made")
		_ = RemoveProvisioned(disk, "secret")
		for name, want := range map[string]bool{"made": false, "secret": true, "volumes": false} {
			if _, err := os.Lstat(filepath.Join(outside, name)); (err == nil) != want {
				t.Errorf("%s is a link: %s is there: %v, want %v", link, name, err == nil, want)
			}
		}
	}
}

// A pod renames a directory and a link in a loop while volumes are prepared: each is a directory
// of the disk, or an error.
func TestHostPathRace(t *testing.T) {
	disk, outside, m := localDisk(t)
	data, link := filepath.Join(disk, "data"), filepath.Join(disk, "link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, data, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	for i := range 500 {
		spec := hostPathSpec("/data", v1.HostPathDirectory)
		spec.Name = fmt.Sprint("v", i%10)
		got, err := m.setUp(t.Context(), spec)
		if err != nil {
			if !strings.Contains(err.Error(), "/data") {
				t.Errorf("an error that does not name the path: %v", err)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(got.Path, "secret")); err == nil {
			t.Fatalf("volume %d is a directory that is not on the node's disk", i)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

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
