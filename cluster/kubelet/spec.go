package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
)

// containerSpec is a container of the pod as the runtime creates it.
func (w *worker) containerSpec(ctx context.Context, pod *v1.Pod, st containerStart, image cri.Image) (*cri.Spec, error) {
	c := st.container
	env, lookup, err := containerspec.Environment(ctx, &containerspec.EnvContext{
		Pod: pod, Container: c, Objects: w.k.objects,
		Services: containerspec.VisibleServices(w.k.informers.Services(), pod.Namespace, pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks),
		HostIP:   w.k.config.NodeIP.String(), PodIP: w.podIP(), Capacity: w.k.capacity,
		File: w.volumes.EnvFile,
	})
	if err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerConfigError", err)
	}
	command, commandErr := containerspec.ExpandAll(c.Command, lookup)
	arguments, argumentsErr := containerspec.ExpandAll(c.Args, lookup)
	if err := errors.Join(commandErr, argumentsErr); err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerConfigError", err)
	}
	mounts, err := w.mounts(c, st.attempt, lookup)
	if err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerConfigError", err)
	}
	s := &cri.Spec{
		Pod: w.ref, Name: c.Name, Attempt: st.attempt, Image: c.Image,
		Labels: map[string]string{
			cri.LabelSandbox: w.observed.Sandbox.ID, labelHash: containerHash(c), labelGrace: strconv.FormatInt(podspec.GracePeriod(pod), 10),
		},
		Entrypoint: command, Cmd: arguments, Env: env,
		WorkingDir: c.WorkingDir, TTY: c.TTY, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		Mounts: mounts, CgroupParent: w.cgroup(pod), Resources: containerspec.Resources(c, w.k.config.PodPids),
		OOMScoreAdj: containerspec.OOMScoreAdj(pod, c, w.k.capacity.Memory()),
		Sandbox:     w.observed.Sandbox.ID, SharePID: ptr.Deref(pod.Spec.ShareProcessNamespace, false),
		HostNetwork: pod.Spec.HostNetwork && w.k.hostNetns, HostPID: pod.Spec.HostPID, HostIPC: pod.Spec.HostIPC,
	}
	if l := c.Lifecycle; l != nil {
		s.StopSignal = string(ptr.Deref(l.StopSignal, ""))
	}
	if s.Devices, err = w.devices(c); err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerConfigError", err)
	}
	if s.PIDOf, err = w.observed.processesOf(c.Name); err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerError", err)
	}
	// As Docker: the command of a pod replaces the image's arguments, too.
	if s.Entrypoint != nil && s.Cmd == nil {
		s.Cmd = []string{}
	}
	if err := errors.Join(containerspec.Secure(s, pod, c, image, w.k.config.RootDir), containerspec.CheckWorkingDir(cmp.Or(c.WorkingDir, image.WorkingDir))); err != nil {
		return nil, podstatus.NewWaitingError("CreateContainerConfigError", err)
	}
	if w.k.config.HostRoot != "" && containerspec.UsesNodeDisk(pod) && !s.Privileged && !containerspec.AddsCapability(s.CapAdd, "MKNOD") {
		s.CapDrop = append(s.CapDrop, "MKNOD")
	}
	return s, nil
}

// devices are the volumes of the container that are block devices.
func (w *worker) devices(c *v1.Container) ([]cri.Device, error) {
	var out []cri.Device
	for _, d := range c.VolumeDevices {
		v, ok := w.volumes.Get(d.Name)
		if !ok || !v.Device {
			return nil, fmt.Errorf("volume %q is not ready", d.Name)
		}
		out = append(out, cri.Device{Source: v.Path, Target: d.DevicePath, ReadOnly: v.ReadOnly})
	}
	return out, nil
}

// mounts are the volumes of the container, and the files that the kubelet provides.
func (w *worker) mounts(c *v1.Container, attempt int, lookup func(string) (string, bool)) ([]cri.Mount, error) {
	var out []cri.Mount
	taken := map[string]bool{}
	for i, m := range c.VolumeMounts {
		v, ok := w.volumes.Get(m.Name)
		if !ok {
			return nil, fmt.Errorf("volume %q is not ready", m.Name)
		}
		source := v.Path
		sub, err := containerspec.ExpandStrictly(m.SubPathExpr, lookup)
		if err != nil {
			return nil, err
		}
		if sub = cmp.Or(sub, m.SubPath); sub != "" {
			if source, err = w.volumes.SubPath(m.Name, sub, c.Name, i); err != nil {
				return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, c.Name, err)
			}
		}
		mount := cri.Mount{Source: source, Target: m.MountPath, ReadOnly: (m.ReadOnly || v.ReadOnly) && !v.Sealed}
		if p := m.MountPropagation; p != nil {
			mount.Propagation = map[v1.MountPropagationMode]string{
				v1.MountPropagationHostToContainer: "rslave", v1.MountPropagationBidirectional: "rshared",
			}[*p]
		}
		if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly == v1.RecursiveReadOnlyEnabled {
			return nil, fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)
		}
		taken[filepath.Clean(m.MountPath)] = true
		out = append(out, mount)
	}
	if !taken["/etc/hosts"] {
		out = append(out, cri.Mount{Source: w.file("hosts"), Target: "/etc/hosts"})
	}
	if !taken["/etc/resolv.conf"] {
		out = append(out, cri.Mount{Source: w.file("resolv.conf"), Target: "/etc/resolv.conf"})
	}
	if c.TerminationMessagePath != "" {
		path := w.messagePath(c.Name, attempt)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return nil, err
		}
		if err := os.Chmod(path, 0o666); err != nil { // any user may write the message
			return nil, err
		}
		out = append(out, cri.Mount{Source: path, Target: c.TerminationMessagePath})
	}
	return out, nil
}
