package docker

import (
	"maps"
	"strconv"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/docker/pause"
)

// translate is a spec as the daemon takes it.
func (r *Runtime) translate(s *cri.Spec, info *daemon) (*container.Config, *container.HostConfig) {
	labels := map[string]string{}
	maps.Copy(labels, s.Labels)
	maps.Copy(labels, map[string]string{
		labelCluster: r.config.Cluster, labelNode: r.config.Node,
		labelPod: s.Pod.Name, labelNamespace: s.Pod.Namespace, labelUID: s.Pod.UID,
		labelContainer: s.Name, labelAttempt: strconv.Itoa(s.Attempt),
	})
	config := &container.Config{
		Image: s.Image, Entrypoint: s.Entrypoint, Cmd: s.Cmd, Env: s.Env,
		WorkingDir: s.WorkingDir, User: s.User, Hostname: s.Hostname, Labels: labels,
		StopSignal: s.StopSignal,
		Tty:        s.TTY, OpenStdin: s.Stdin, StdinOnce: s.StdinOnce,
		// The probes of the pod report its health, not those of the image.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	if config.Image == "" {
		config.Image = PauseImage
	}
	host := &container.HostConfig{
		LogConfig: container.LogConfig{
			Type:   "json-file",
			Config: map[string]string{"max-size": strconv.FormatInt(r.config.LogMaxBytes, 10), "max-file": strconv.Itoa(r.config.LogMaxFiles)},
		},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapAdd:         s.CapAdd,
		CapDrop:        s.CapDrop,
		GroupAdd:       s.Groups,
		OomScoreAdj:    max(s.OOMScoreAdj, info.oomFloor),
		Privileged:     s.Privileged,
		ReadonlyRootfs: s.ReadOnlyRoot,
		SecurityOpt:    securityOptions(s),
		Sysctls:        s.Sysctls,
		Mounts:         mounts(s.Mounts),
		Resources:      resources(s.Resources),
	}
	host.Devices = devices(s.Devices)
	if s.UnmaskedProc {
		host.MaskedPaths, host.ReadonlyPaths = []string{}, []string{}
	}
	host.CgroupParent = cgroupParent(s.CgroupParent, info.systemd)
	namespaces(s, config, host)
	reduce(host, info.caps)
	return config, host
}

// namespaces: the sandbox has its own, the others join the sandbox's.
func namespaces(s *cri.Spec, config *container.Config, host *container.HostConfig) {
	if s.Sandbox == "" {
		host.NetworkMode, host.IpcMode = "none", "shareable"
		// The network namespace comes from the kernel and the kubelet sets it up. With
		// networking, even for none, a hook of each start runs the daemon's program once
		// more: that takes longer than all the rest.
		config.NetworkDisabled = !s.HostNetwork
	} else {
		joined := "container:" + s.Sandbox
		host.NetworkMode, host.IpcMode = container.NetworkMode(joined), container.IpcMode(joined)
		if s.SharePID {
			host.PidMode = container.PidMode(joined)
		}
	}
	if s.HostNetwork && s.Sandbox == "" {
		host.NetworkMode = "host"
	}
	if s.NetNS != "" && s.Sandbox == "" { // the sandbox's program goes there itself
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: s.NetNS, Target: pause.NetNS})
		host.CapAdd = append(host.CapAdd, "SYS_ADMIN")
	}
	if s.HostNetwork {
		host.UTSMode = "host"
	}
	if s.HostIPC {
		host.IpcMode = "host"
	}
	if s.HostPID {
		host.PidMode = "host"
	}
	if s.PIDOf != "" {
		host.PidMode = container.PidMode("container:" + s.PIDOf)
	}
}

func securityOptions(s *cri.Spec) []string {
	var out []string
	if s.Seccomp != "" {
		out = append(out, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		out = append(out, "apparmor="+s.AppArmor)
	}
	if s.NoNewPrivileges {
		out = append(out, "no-new-privileges")
	}
	for _, part := range s.SELinux {
		out = append(out, "label="+part)
	}
	return out
}

func mounts(in []cri.Mount) []mount.Mount {
	out := make([]mount.Mount, 0, len(in))
	for _, m := range in {
		dm := mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Propagation != "" {
			dm.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(m.Propagation)}
		}
		out = append(out, dm)
	}
	return out
}

func devices(in []cri.Device) []container.DeviceMapping {
	var out []container.DeviceMapping
	for _, d := range in {
		may := "mrw"
		if d.ReadOnly {
			may = "mr"
		}
		out = append(out, container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: may})
	}
	return out
}

func resources(in cri.Resources) container.Resources {
	out := container.Resources{
		CPUShares: in.CPUShares, CPUQuota: in.CPUQuota, CPUPeriod: in.CPUPeriod,
		Memory: in.Memory,
		// Without swap of its own a container that exceeds its memory is killed
		// rather than made slow.
		MemorySwap: in.Memory,
	}
	if in.Pids > 0 {
		out.PidsLimit = &in.Pids
	}
	return out
}

// cgroupParent is the path itself for cgroupfs, and a slice for systemd.
func cgroupParent(path string, systemd bool) string {
	if !systemd || path == "" {
		return path
	}
	return cgroup.SliceOf(path)
}
