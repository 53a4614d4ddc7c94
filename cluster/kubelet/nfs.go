package kubelet

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

// nfsPatience is how long a server may take to answer a mount.
const nfsPatience = 30 * time.Second

// nfs mounts a folder of an NFS server, from the node's network.
func (v *volumes) nfs(ctx context.Context, name string, spec *v1.NFSVolumeSource, options []string) (volume, error) {
	dir := v.path("nfs", name)
	out := volume{path: dir, readOnly: spec.ReadOnly}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return volume{}, err
	}
	// Not by a look at the folder itself: with a server that has gone that would hang.
	points, err := nodefs.MountsBelow(dir)
	if err != nil || slices.Contains(points, dir) {
		return out, err
	}
	if err := nfsKernel(ctx); err != nil {
		return volume{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, nfsPatience)
	defer cancel()
	args, err := nfsMount(ctx, spec, options, dir)
	if err != nil {
		return volume{}, err
	}
	if text, err := runMount(ctx, args); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", nfsPatience)
		}
		return volume{}, fmt.Errorf("mount failed: %w\nMounting command: mount\nMounting arguments: %s\nOutput: %s", err, strings.Join(args, " "), text)
	}
	return out, nil
}

func runMount(ctx context.Context, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, "mount", args...)
	cmd.WaitDelay = time.Second // a mount that hangs in the kernel is left to itself
	out, err := cmd.CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// nfsMount are the arguments of mount: with the machine's mount.nfs, or else in the
// kernel's own words for NFS 4, which need the server's address.
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

// nfsKernel says so where the kernel has no NFS: what mount says then is not clear.
func nfsKernel(ctx context.Context) error {
	known := func() bool {
		data, err := os.ReadFile("/proc/filesystems")
		return err != nil || slices.Contains(strings.Fields(string(data)), "nfs") || slices.Contains(strings.Fields(string(data)), "nfs4")
	}
	if known() {
		return nil
	}
	// The module may just not be loaded; the second look tells more clearly than modprobe.
	_ = exec.CommandContext(ctx, "modprobe", "nfs").Run()
	if known() {
		return nil
	}
	return errors.New("the kernel of this node has no NFS (no nfs in /proc/filesystems): load the module nfs, or use a hostPath or a persistentVolumeClaim")
}
