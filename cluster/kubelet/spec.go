package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// containerSpec says a container of the pod in the runtime's words.
func (w *worker) containerSpec(ctx context.Context, pod *v1.Pod, st containerStart, image cri.Image) (*cri.Spec, error) {
	c := st.container
	env, lookup, err := environment(ctx, &envContext{
		pod: pod, container: c, objects: w.k.objects,
		services: visibleServices(w.k.services(), pod.Namespace, pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks),
		hostIP:   w.k.config.NodeIP.String(), podIP: w.podIP(), capacity: w.k.capacity,
	})
	if err != nil {
		return nil, &waitingError{"CreateContainerConfigError", err}
	}
	command, commandErr := expandAll(c.Command, lookup)
	arguments, argumentsErr := expandAll(c.Args, lookup)
	if err := errors.Join(commandErr, argumentsErr); err != nil {
		return nil, &waitingError{"CreateContainerConfigError", err}
	}
	mounts, err := w.mounts(pod, c, st.attempt, lookup)
	if err != nil {
		return nil, &waitingError{"CreateContainerConfigError", err}
	}
	s := &cri.Spec{
		Pod: w.ref, Name: c.Name, Attempt: st.attempt, Image: c.Image,
		Labels: map[string]string{
			cri.LabelSandbox: w.observed.Sandbox.ID, labelHash: containerHash(c), labelGrace: strconv.FormatInt(podspec.GracePeriod(pod), 10),
		},
		Entrypoint: command, Cmd: arguments, Env: env,
		WorkingDir: c.WorkingDir, TTY: c.TTY, Stdin: c.Stdin, StdinOnce: c.StdinOnce,
		Mounts: mounts, CgroupParent: w.cgroup(pod), Resources: containerResources(c, w.k.config.PodPids),
		OOMScoreAdj: oomScoreAdj(pod, c, w.k.capacity.Memory()),
		Sandbox:     w.observed.Sandbox.ID, SharePID: podspec.IsTrue(pod.Spec.ShareProcessNamespace),
		HostNetwork: pod.Spec.HostNetwork && w.k.ownNetwork(), HostPID: pod.Spec.HostPID, HostIPC: pod.Spec.HostIPC,
	}
	if s.Devices, err = w.devices(c); err != nil {
		return nil, &waitingError{"CreateContainerConfigError", err}
	}
	if s.PIDOf, err = w.observed.processesOf(c.Name); err != nil {
		return nil, &waitingError{"CreateContainerError", err}
	}
	// As Docker: a command of the pod's own hides the image's arguments too.
	if s.Entrypoint != nil && s.Cmd == nil {
		s.Cmd = []string{}
	}
	if err := errors.Join(secure(s, pod, c, image, w.k.config.RootDir), checkWorkingDir(cmp.Or(c.WorkingDir, image.WorkingDir))); err != nil {
		return nil, &waitingError{"CreateContainerConfigError", err}
	}
	if w.k.config.HostRoot != "" && reachesDisk(pod) && !s.Privileged && !adds(s.CapAdd, "MKNOD") {
		s.CapDrop = append(s.CapDrop, "MKNOD")
	}
	return s, nil
}

// checkWorkingDir refuses what the runtime has open: a program that begins there may reach
// the machine's files (CVE-2024-21626).
func checkWorkingDir(dir string) error {
	var at []string // where the path leads, as far as it names no links
	for _, part := range strings.Split(dir, "/") {
		switch part {
		case "", ".":
		case "..":
			at = at[:max(0, len(at)-1)]
		default:
			at = append(at, part)
		}
		if n := len(at); n > 1 && at[n-1] == "fd" && (at[0] == "proc" && n > 2 || at[0] == "dev" && n == 2) {
			return fmt.Errorf("the working directory %q is an open file of a process, not a directory of the container", dir)
		}
	}
	return nil
}

// reachesDisk reports whether a pod may have volumes on the node's disk. On a disk of the
// node's own it makes no devices there: a local volume may be one, and would be mounted by
// the kubelet, which may use all of the machine's.
func reachesDisk(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		return v.HostPath != nil || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	})
}

// adds reports whether a capability, or all of them, are among those that are added.
func adds(list []string, name string) bool {
	return slices.ContainsFunc(list, func(c string) bool {
		c = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
		return c == name || c == "ALL"
	})
}

// secure applies the security contexts, the container's before the pod's.
func secure(s *cri.Spec, pod *v1.Pod, c *v1.Container, image cri.Image, root string) error {
	psc, sc := pod.Spec.SecurityContext, c.SecurityContext
	if psc == nil {
		psc = &v1.PodSecurityContext{}
	}
	if sc == nil {
		sc = &v1.SecurityContext{}
	}
	if err := secureUser(s, psc, sc, image); err != nil {
		return fmt.Errorf("%w (pod: %q, container: %s)", err, fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID), c.Name)
	}
	for _, g := range psc.SupplementalGroups {
		s.Groups = append(s.Groups, strconv.FormatInt(g, 10))
	}
	if psc.FSGroup != nil {
		s.Groups = append(s.Groups, strconv.FormatInt(*psc.FSGroup, 10))
	}
	if sc.Capabilities != nil {
		for _, a := range sc.Capabilities.Add {
			s.CapAdd = append(s.CapAdd, string(a))
		}
		for _, d := range sc.Capabilities.Drop {
			s.CapDrop = append(s.CapDrop, string(d))
		}
	}
	s.Privileged, s.ReadOnlyRoot = podspec.IsTrue(sc.Privileged), podspec.IsTrue(sc.ReadOnlyRootFilesystem)
	s.NoNewPrivileges = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
	s.UnmaskedProc = sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount
	profile := sc.SeccompProfile
	if profile == nil {
		profile = psc.SeccompProfile
	}
	return errors.Join(seccomp(s, profile, root), appArmor(s, pod, psc, sc, c.Name))
}

func seccomp(s *cri.Spec, profile *v1.SeccompProfile, root string) error {
	if profile == nil {
		return nil
	}
	switch profile.Type {
	case v1.SeccompProfileTypeUnconfined:
		s.Seccomp = "unconfined"
	case v1.SeccompProfileTypeLocalhost:
		if profile.LocalhostProfile == nil {
			return errors.New("seccomp: localhostProfile must be set if the type is Localhost")
		}
		data, err := fs.ReadFile(os.DirFS(filepath.Join(root, "seccomp")), *profile.LocalhostProfile)
		if err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
		s.Seccomp = string(data)
	}
	return nil
}

func secureUser(s *cri.Spec, psc *v1.PodSecurityContext, sc *v1.SecurityContext, image cri.Image) error {
	user, group, nonRoot := sc.RunAsUser, sc.RunAsGroup, sc.RunAsNonRoot
	if user == nil {
		user = psc.RunAsUser
	}
	if group == nil {
		group = psc.RunAsGroup
	}
	if nonRoot == nil {
		nonRoot = psc.RunAsNonRoot
	}
	imageUser, _, _ := strings.Cut(image.User, ":")
	if podspec.IsTrue(nonRoot) {
		id, err := strconv.ParseInt(cmp.Or(imageUser, "0"), 10, 64)
		switch {
		case user != nil && *user == 0:
			return errors.New("container's runAsUser breaks non-root policy")
		case user == nil && err != nil:
			return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root", imageUser)
		case user == nil && id == 0:
			return errors.New("container has runAsNonRoot and image will run as root")
		}
	}
	if user != nil {
		s.User = strconv.FormatInt(*user, 10)
	}
	if group != nil {
		s.User = cmp.Or(s.User, cmp.Or(imageUser, "0")) + ":" + strconv.FormatInt(*group, 10)
	}
	return nil
}

// devices are the container's volumes that it gets as devices.
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

// mounts are the container's volumes and the files that the kubelet gives it.
func (w *worker) mounts(pod *v1.Pod, c *v1.Container, attempt int, lookup func(string) (string, bool)) ([]cri.Mount, error) {
	var out []cri.Mount
	taken := map[string]bool{}
	for i, m := range c.VolumeMounts {
		v, ok := w.volumes.Get(m.Name)
		if !ok {
			return nil, fmt.Errorf("volume %q is not ready", m.Name)
		}
		source := v.Path
		sub, err := expandStrictly(m.SubPathExpr, lookup)
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
		if err := os.Chmod(path, 0o666); err != nil { // any user may write its last word
			return nil, err
		}
		out = append(out, cri.Mount{Source: path, Target: c.TerminationMessagePath})
	}
	return out, nil
}
