package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// inBlocks says whether containers get the volume as a device rather than a folder.
func inBlocks(pv *v1.PersistentVolume) bool {
	return pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == v1.PersistentVolumeBlock
}

// modeFits refuses a volume that the pod's containers take for what it is not.
func modeFits(pod *v1.Pod, name string, block bool) error {
	mounted, mapped := false, false
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		mounted = mounted || slices.ContainsFunc(c.VolumeMounts, func(m v1.VolumeMount) bool { return m.Name == name })
		mapped = mapped || slices.ContainsFunc(c.VolumeDevices, func(d v1.VolumeDevice) bool { return d.Name == name })
	}
	switch {
	case mounted && block:
		return fmt.Errorf("volume %s has volumeMode Block, but is specified in volumeMounts", name)
	case mapped && !block:
		return fmt.Errorf("volume %s has volumeMode Filesystem, but is specified in volumeDevices", name)
	}
	return nil
}

// local is a place of the node that is a volume: a folder, or a device. It is there
// before the first pod comes, and never made here.
func (v *volumes) local(ctx context.Context, name string, pv *v1.PersistentVolume) (volume, error) {
	path := pv.Spec.Local.Path
	f, mode, err := nodefs.OpenPath(v.k.config.HostRoot, path)
	if errors.Is(err, fs.ErrNotExist) {
		return volume{}, fmt.Errorf("path %q does not exist", path)
	}
	if err != nil {
		return volume{}, fmt.Errorf("path %q: %w", path, err)
	}
	defer f.Close()
	device := isBlockDevice(mode)
	switch {
	case inBlocks(pv) && !device:
		return volume{}, fmt.Errorf("path %q is not a block device, as volumeMode Block asks for", path)
	case !device && !mode.IsDir():
		return volume{}, fmt.Errorf("path %q is neither a directory nor a block device", path)
	}
	place, err := v.pinned(name, path, f)
	if err == nil && device && !inBlocks(pv) {
		return v.mountDevice(ctx, name, pv, place)
	}
	return volume{path: place, file: device, device: device}, err
}

var fileSystem = regexp.MustCompile(`^[a-z0-9]+$`)

// mountDevice mounts a device with the file system that it has; an empty one gets the
// file system that the volume asks for, ext4 by default.
func (v *volumes) mountDevice(ctx context.Context, name string, pv *v1.PersistentVolume, device string) (volume, error) {
	dir := v.path("local-volume", name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return volume{}, err
	}
	if mounted, err := nodefs.IsMountPoint(dir); err != nil || mounted {
		return volume{path: dir}, err
	}
	kind := "ext4"
	if t := pv.Spec.Local.FSType; t != nil && *t != "" {
		kind = *t
	}
	if !fileSystem.MatchString(kind) { // it names a program
		return volume{}, fmt.Errorf("%q is not a file system", kind)
	}
	if err := format(ctx, device, kind); err != nil {
		return volume{}, err
	}
	args := []string{"-t", kind}
	if len(pv.Spec.MountOptions) > 0 {
		args = append(args, "-o", strings.Join(pv.Spec.MountOptions, ","))
	}
	args = append(args, device, dir)
	if text, err := runMount(ctx, args); err != nil {
		return volume{}, fmt.Errorf("mount failed: %w\nMounting command: mount\nMounting arguments: %s\nOutput: %s", err, strings.Join(args, " "), text)
	}
	return volume{path: dir}, nil
}

// format makes a file system on a device that has nothing on it.
func format(ctx context.Context, device, kind string) error {
	found, err := exec.CommandContext(ctx, "blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "value", device).CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return nil // mount says whether it is another kind
	}
	if !errors.As(err, &exit) || exit.ExitCode() != 2 { // 2: nothing found
		return fmt.Errorf("what is on the device %s: %w: %s", device, err, bytes.TrimSpace(found))
	}
	args := []string{device}
	if strings.HasPrefix(kind, "ext") {
		args = []string{"-F", "-m0", device}
	}
	if out, err := exec.CommandContext(ctx, "mkfs."+kind, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("formatting %s as %s: %w: %s", device, kind, err, bytes.TrimSpace(out))
	}
	return nil
}
