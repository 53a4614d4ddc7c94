//go:build !quick

package kubelet

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

// localDisk is a node's disk with /data/inside on it, and a folder that is not on it.
func localDisk(t *testing.T) (disk, outside string, v *volumes) {
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
	v = &volumes{k: &Kubelet{config: Config{HostRoot: disk, RootDir: filepath.Join(top, "kubelet")}}, dir: filepath.Join(top, "kubelet/pods/uid"), paths: map[string]volume{}}
	t.Cleanup(func() {
		if err := nodefs.UnmountAndRemove(v.dir); err != nil {
			t.Error(err)
		}
	})
	return disk, outside, v
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
		disk, outside, v := localDisk(t)
		got, err := v.one(t.Context(), &v1.Pod{}, hostPathSpec("/data", kind), "")
		if err != nil {
			t.Fatal(err)
		}
		swap(t, filepath.Join(disk, "data"), outside)
		if _, err := os.Stat(filepath.Join(got.path, "inside")); err != nil {
			t.Errorf("%q: the volume has not the folder's content: %v", kind, err)
		}
		if _, err := os.Stat(filepath.Join(got.path, "secret")); err == nil {
			t.Errorf("%q: the volume is a folder that is not on the node's disk", kind)
		}
	}
	for _, kind := range []v1.HostPathType{v1.HostPathFile, v1.HostPathFileOrCreate} {
		disk, outside, v := localDisk(t)
		got, err := v.one(t.Context(), &v1.Pod{}, hostPathSpec("/file", kind), "")
		if err != nil {
			t.Fatal(err)
		}
		swap(t, filepath.Join(disk, "file"), filepath.Join(outside, "secret"))
		if data, err := os.ReadFile(got.path); err != nil || string(data) != "inside" {
			t.Errorf("%q: %q, %v", kind, data, err)
		}
	}
}

// The same for a folder above, and for volumes of the other kinds that lie on the disk.
func TestVolumeSwappedBeforeTheMount(t *testing.T) {
	disk, outside, v := localDisk(t)
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
		got, err := v.persistent(t.Context(), name, pv)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, got.path)
	}
	swap(t, filepath.Join(disk, "data"), outside)
	for _, path := range paths {
		if err := os.WriteFile(filepath.Join(path, "written"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "sub/written")); err == nil {
		t.Error("a volume is a folder that is not on the node's disk")
	}
	if _, err := os.Stat(filepath.Join(disk, "data.was/sub/written")); err != nil {
		t.Errorf("a volume is not the folder that it was: %v", err)
	}
}

// A device is formatted and mounted as what was looked at, too.
func TestDeviceSwappedBeforeTheMount(t *testing.T) {
	disk, outside, v := localDisk(t)
	device := filepath.Join(disk, "device")
	if err := unix.Mknod(device, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 255))); err != nil {
		t.Fatal(err)
	}
	got, err := v.persistent(t.Context(), "v", localPV("/device", v1.PersistentVolumeBlock))
	if err != nil {
		t.Fatal(err)
	}
	swap(t, device, filepath.Join(outside, "secret"))
	if info, err := os.Stat(got.path); err != nil || !isBlockDevice(info.Mode()) {
		t.Errorf("%v, %v", info, err)
	}
}

// The folder of provisioned volumes may have become a link: neither are volumes made
// where it leads, nor is anything removed there.
func TestProvisionedFolderSwapped(t *testing.T) {
	disk, outside, v := localDisk(t)
	pv := &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "secret"}}
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
		_ = v.k.makeProvisioned(&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "made"}})
		_ = served{v.k}.RemoveProvisioned(pv.Name)
		for name, want := range map[string]bool{"made": false, "secret": true, "volumes": false} {
			if _, err := os.Lstat(filepath.Join(outside, name)); (err == nil) != want {
				t.Errorf("%s is a link: %s is there: %v, want %v", link, name, err == nil, want)
			}
		}
	}
}

// A pod renames a folder and a link in a loop while volumes are prepared: each is a folder
// of the disk, or an error.
func TestHostPathRace(t *testing.T) {
	disk, outside, v := localDisk(t)
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
		got, err := v.one(t.Context(), &v1.Pod{}, spec, "")
		if err != nil {
			if !strings.Contains(err.Error(), "/data") {
				t.Errorf("an error that does not name the path: %v", err)
			}
			continue
		}
		if _, err := os.Stat(filepath.Join(got.path, "secret")); err == nil {
			t.Fatalf("volume %d is a folder that is not on the node's disk", i)
		} else if !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
