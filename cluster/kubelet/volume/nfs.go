package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/nodefs"
)

// nfsTimeout is how long a server may take to answer a mount.
const nfsTimeout = 30 * time.Second

// nfs is a directory of an NFS server, mounted from the node's network.
type nfs struct{}

// Supports implements Plugin.
func (nfs) Supports(v *v1.Volume) bool { return v.NFS != nil }

// SetUp implements Plugin.
func (nfs) SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	return m.nfs(ctx, v.Name, v.NFS, nil)
}

func (m *Manager) nfs(ctx context.Context, name string, spec *v1.NFSVolumeSource, options []string) (Volume, error) {
	dir := m.path("nfs", name)
	out := Volume{Path: dir, ReadOnly: spec.ReadOnly, remote: true}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Volume{}, err
	}
	// Not by a stat of the directory itself: with a server that has gone that would hang.
	points, err := nodefs.MountsBelow(dir)
	if err != nil || slices.Contains(points, dir) {
		return out, err
	}
	if err := nfsKernel(ctx); err != nil {
		return Volume{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, nfsTimeout, fmt.Errorf("no answer within %s", nfsTimeout))
	defer cancel()
	args, err := nfsMount(ctx, spec, options, dir)
	if err != nil {
		return Volume{}, err
	}
	return out, mount(ctx, args)
}

// mount runs mount(8). The cause of an expired context is part of the error.
func mount(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "mount", args...)
	cmd.WaitDelay = time.Second // a mount that hangs in the kernel is abandoned
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("mount failed: %w\nMounting command: mount\nMounting arguments: %s\nOutput: %s", err, strings.Join(args, " "), bytes.TrimSpace(out))
}

// nfsMount are the arguments of mount: with the machine's mount.nfs, or else in the
// kernel's own syntax for NFS 4, which need the server's address.
func nfsMount(ctx context.Context, spec *v1.NFSVolumeSource, options []string, dir string) ([]string, error) {
	if strings.HasPrefix(spec.Server, "-") { // which mount and its helpers take for an option
		return nil, fmt.Errorf("%q is not the name of an NFS server", spec.Server)
	}
	source := spec.Server + ":" + spec.Path
	if strings.Contains(spec.Server, ":") && !strings.HasPrefix(spec.Server, "[") {
		source = "[" + spec.Server + "]:" + spec.Path
	}
	if spec.ReadOnly {
		options = append(slices.Clone(options), "ro")
	}
	if _, err := exec.LookPath("mount.nfs"); err == nil {
		if len(options) == 0 {
			return []string{"-t", "nfs", "--", source, dir}, nil
		}
		return []string{"-t", "nfs", "-o", strings.Join(options, ","), "--", source, dir}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", spec.Server)
	if err != nil {
		return nil, fmt.Errorf("the NFS server %s: %w", spec.Server, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the NFS server %s has no address", spec.Server)
	}
	options = append([]string{"vers=4.2", "addr=" + addrs[0].Unmap().String()}, options...)
	return []string{"-i", "-t", "nfs4", "-o", strings.Join(options, ","), "--", source, dir}, nil
}

// nfsKernel is an error where the kernel has no NFS: that of mount is not clear.
func nfsKernel(ctx context.Context) error {
	present := func() bool {
		data, err := os.ReadFile("/proc/filesystems")
		return err != nil || slices.Contains(strings.Fields(string(data)), "nfs") || slices.Contains(strings.Fields(string(data)), "nfs4")
	}
	if present() {
		return nil
	}
	// The module may just not be loaded; the list is clearer than the errors of modprobe.
	_ = exec.CommandContext(ctx, "modprobe", "nfs").Run()
	if present() {
		return nil
	}
	return errors.New("the kernel of this node has no NFS (no nfs in /proc/filesystems): load the module nfs, or use a hostPath or a persistentVolumeClaim")
}
