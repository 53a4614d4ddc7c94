package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// emptyDir is a directory that lives as long as the pod, on the disk or in memory.
type emptyDir struct{}

// Supports implements Plugin.
func (emptyDir) Supports(v *v1.Volume) bool { return v.EmptyDir != nil }

// SetUp implements Plugin.
func (emptyDir) SetUp(_ context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	dir := m.path("empty-dir", v.Name)
	if _, done := m.Get(v.Name); done {
		return Volume{Path: dir}, nil
	}
	_, err := os.Lstat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Volume{}, err
	}
	mode := fs.FileMode(0o777)
	switch v.EmptyDir.Medium {
	case v1.StorageMediumDefault:
	case v1.StorageMediumMemory:
		size := int64(0)
		if v.EmptyDir.SizeLimit != nil {
			size = v.EmptyDir.SizeLimit.Value()
		}
		if err := nodefs.MountTmpfs(dir, size); err != nil {
			return Volume{}, err
		}
		mode |= fs.ModeSticky // as the kernel creates a tmpfs
	default:
		return Volume{}, fmt.Errorf("emptyDir medium %q is not supported; leave it out, or use Memory", v.EmptyDir.Medium)
	}
	if !fresh {
		return Volume{Path: dir}, nil
	}
	if group := fsGroup(m.pod); group >= 0 {
		if err := os.Chown(dir, -1, group); err != nil {
			return Volume{}, err
		}
		mode |= fs.ModeSetgid
	}
	return Volume{Path: dir}, os.Chmod(dir, mode)
}
