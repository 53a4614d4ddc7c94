package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// imageVolumes puts in place what a container mounts of images: each pulled as its policy
// says, once for the life of the pod. As upstream this is part of a container's start, so
// that a pull that fails shows in the container's state as that of its own image does.
func (w *worker) imageVolumes(ctx context.Context, pod *v1.Pod, c *v1.Container) error {
	var errs []error
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v v1.Volume) bool { return v.Name == m.Name })
		if i < 0 || pod.Spec.Volumes[i].Image == nil {
			continue
		}
		if _, done := w.volumes.paths[m.Name]; done {
			continue
		}
		v, err := w.imageVolume(ctx, pod, &pod.Spec.Volumes[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.volumes.paths[m.Name] = v
	}
	return errors.Join(errs...)
}

func (w *worker) imageVolume(ctx context.Context, pod *v1.Pod, v *v1.Volume) (volume, error) {
	wanted := &v1.Container{Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}
	if _, err := w.fetch(ctx, pod, "volume "+v.Name, wanted, w.podEvent); err != nil {
		return volume{}, err
	}
	dir := w.volumes.path("image", v.Name)
	mounted, err := nodefs.MountsBelow(dir)
	if err == nil && !slices.Contains(mounted, dir) {
		if err = os.MkdirAll(filepath.Dir(dir), 0o750); err == nil {
			err = w.k.runtime.MountImage(ctx, v.Image.Reference, dir)
		}
	}
	if err != nil {
		return volume{}, &waitingError{"CreateContainerError", err}
	}
	return volume{path: dir, readOnly: true, sealed: true}, nil
}
