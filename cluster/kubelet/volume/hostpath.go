package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// hostPath is a path of the node, created where its type requires that.
type hostPath struct{}

// Supports implements Plugin.
func (hostPath) Supports(v *v1.Volume) bool { return v.HostPath != nil }

// SetUp implements Plugin.
func (hostPath) SetUp(_ context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	return m.hostPath(v.Name, v.HostPath)
}

func (m *Manager) hostPath(name string, spec *v1.HostPathVolumeSource) (Volume, error) {
	f, mode, err := openHostPath(m.HostRoot, spec)
	if err != nil {
		return Volume{}, err
	}
	defer f.Close()
	path, err := m.pinned(name, spec.Path, f)
	return Volume{Path: path, file: !mode.IsDir()}, err
}

// pinned returns the path by which the runtime mounts an open file of the node's disk. On a
// disk of the node's own it is a mount below the pod's directory, which no pod can reach: on
// the disk itself a pod could put a link there before the runtime mounts it. On the machine's
// disk it is the path, as upstream: who may use host paths there is root on the machine.
func (m *Manager) pinned(name, path string, f *os.File) (string, error) {
	if m.HostRoot == "" {
		return filepath.Clean("/" + path), nil
	}
	target := m.path("host-path", name)
	if same, err := sameAs(f, target); err != nil || same {
		return target, err
	}
	return target, nodefs.BindMount(f, target, unix.MS_REC)
}

// sameAs reports whether an open file is the one at a path.
func sameAs(f *os.File, path string) (bool, error) {
	have, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	want, err := f.Stat()
	return err == nil && os.SameFile(have, want), err
}

// openHostPath opens a host path, which it creates where the type requires that, and checks
// that it is of the type. As Docker's own binds do, it creates a directory for no type.
func openHostPath(root string, spec *v1.HostPathVolumeSource) (*os.File, fs.FileMode, error) {
	kind := v1.HostPathUnset
	if spec.Type != nil {
		kind = *spec.Type
	}
	d, at, done, err := nodefs.Open(root, spec.Path)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	f, mode, err := nodefs.Hold(d, at)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createHostPath(d, at, kind); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", spec.Path, err)
		}
		f, mode, err = nodefs.Hold(d, at)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s: %w", spec.Path, err)
	}
	if err == nil && isOfType(mode, kind) {
		return f, mode, nil
	}
	if err == nil {
		f.Close()
	}
	return nil, 0, fmt.Errorf("hostPath type check failed: %s is not a %s", spec.Path, hostPathKinds[kind])
}

func isOfType(mode fs.FileMode, kind v1.HostPathType) bool {
	switch kind {
	case v1.HostPathDirectory, v1.HostPathDirectoryOrCreate:
		return mode.IsDir()
	case v1.HostPathFile, v1.HostPathFileOrCreate:
		return mode.IsRegular()
	case v1.HostPathSocket:
		return mode&fs.ModeSocket != 0
	case v1.HostPathCharDev:
		return mode&fs.ModeCharDevice != 0
	case v1.HostPathBlockDev:
		return isBlockDevice(mode)
	}
	return true
}

func isBlockDevice(mode fs.FileMode) bool {
	return mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0
}

func createHostPath(d nodefs.Disk, path string, kind v1.HostPathType) error {
	switch kind {
	case v1.HostPathUnset, v1.HostPathDirectoryOrCreate:
		return d.MkdirAll(path, 0o755)
	case v1.HostPathFileOrCreate:
		f, err := d.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return nil
}

var hostPathKinds = map[v1.HostPathType]string{
	v1.HostPathDirectory: "directory", v1.HostPathDirectoryOrCreate: "directory",
	v1.HostPathFile: "file", v1.HostPathFileOrCreate: "file",
	v1.HostPathSocket: "socket", v1.HostPathCharDev: "character device", v1.HostPathBlockDev: "block device",
}
