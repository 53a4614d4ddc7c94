package volume

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

// isBlock reports whether containers get the volume as a device rather than a directory.
func isBlock(pv *v1.PersistentVolume) bool {
	return pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == v1.PersistentVolumeBlock
}

// modeFits is an error if the pod's containers mount a device, or map a file system.
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

// local sets up a directory or a device of the node. It exists before the first pod, and is
// never created here.
func (m *Manager) local(ctx context.Context, name string, pv *v1.PersistentVolume) (Volume, error) {
	path := pv.Spec.Local.Path
	f, mode, err := nodefs.OpenPath(m.HostRoot, path)
	if errors.Is(err, fs.ErrNotExist) {
		return Volume{}, fmt.Errorf("path %q does not exist", path)
	}
	if err != nil {
		return Volume{}, fmt.Errorf("path %q: %w", path, err)
	}
	defer f.Close()
	device := isBlockDevice(mode)
	switch {
	case isBlock(pv) && !device:
		return Volume{}, fmt.Errorf("path %q is not a block device, as volumeMode Block asks for", path)
	case !device && !mode.IsDir():
		return Volume{}, fmt.Errorf("path %q is neither a directory nor a block device", path)
	}
	pinned, err := m.pinned(name, path, f)
	if err == nil && device && !isBlock(pv) {
		return m.mountDevice(ctx, name, pv, pinned)
	}
	if options := mountOptions(pv); err == nil && !device && len(options) > 0 {
		return m.mountDirectory(ctx, name, pinned, options)
	}
	return Volume{Path: pinned, file: device, Device: device}, err
}

// mountDirectory mounts a directory once more, with mount options.
func (m *Manager) mountDirectory(ctx context.Context, name, from string, options []string) (Volume, error) {
	dir := m.path("local-volume", name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Volume{}, err
	}
	if mounted, err := nodefs.IsMountPoint(dir); err != nil || mounted {
		return Volume{Path: dir}, err
	}
	return Volume{Path: dir}, mount(ctx, []string{"-o", "bind," + strings.Join(options, ","), "--", from, dir})
}

var fileSystem = regexp.MustCompile(`^[a-z0-9]+$`)

// mountDevice mounts a device with the file system that it has; an empty one gets the
// file system of the volume's fsType, ext4 by default.
func (m *Manager) mountDevice(ctx context.Context, name string, pv *v1.PersistentVolume, device string) (Volume, error) {
	dir := m.path("local-volume", name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Volume{}, err
	}
	if mounted, err := nodefs.IsMountPoint(dir); err != nil || mounted {
		return Volume{Path: dir}, err
	}
	kind := "ext4"
	if t := pv.Spec.Local.FSType; t != nil && *t != "" {
		kind = *t
	}
	if !fileSystem.MatchString(kind) { // it names a program
		return Volume{}, fmt.Errorf("%q is not a file system", kind)
	}
	if err := format(ctx, device, kind); err != nil {
		return Volume{}, err
	}
	args := []string{"-t", kind}
	if options := mountOptions(pv); len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	return Volume{Path: dir}, mount(ctx, append(args, device, dir))
}

// format creates a file system on a device that is empty.
func format(ctx context.Context, device, kind string) error {
	found, err := exec.CommandContext(ctx, "blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "value", device).CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return nil // mount fails if it is another kind
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
