package volume

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// PendingImages returns the image volumes that a container mounts and that are not set up.
// As upstream their pull belongs to the start of a container, so that one that fails shows
// in the container's state as that of its own image does.
func (m *Manager) PendingImages(pod *v1.Pod, c *v1.Container) []*v1.Volume {
	var out []*v1.Volume
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		_, done := m.Get(v.Name)
		if v.Image != nil && !done && slices.ContainsFunc(c.VolumeMounts, func(mount v1.VolumeMount) bool { return mount.Name == v.Name }) {
			out = append(out, v)
		}
	}
	return out
}

// SetUpImage mounts an image, which is on the machine.
func (m *Manager) SetUpImage(ctx context.Context, v *v1.Volume) error {
	dir := m.path("image", v.Name)
	mounted, err := nodefs.MountsBelow(dir)
	if err == nil && !slices.Contains(mounted, dir) {
		if err = os.MkdirAll(filepath.Dir(dir), 0o750); err == nil {
			err = m.Images.MountImage(ctx, v.Image.Reference, dir)
		}
	}
	if err == nil {
		m.volumes[v.Name] = Volume{Path: dir, ReadOnly: true, Sealed: true}
	}
	return err
}
