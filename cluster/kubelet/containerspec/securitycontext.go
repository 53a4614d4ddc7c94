package containerspec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/kubelet/cri"
)

// CheckWorkingDir refuses the open files of a process: a program that starts there may reach
// the files of the machine (CVE-2024-21626).
func CheckWorkingDir(dir string) error {
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

// UsesNodeDisk reports whether a pod may have volumes on the node's disk. On a disk of the
// node's own it must not create devices: a local volume may be one, and the kubelet, which
// may use all of the machine's devices, would mount it.
func UsesNodeDisk(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v v1.Volume) bool {
		return v.HostPath != nil || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	})
}

// AddsCapability reports whether a capability, or all of them, are among those that are added.
func AddsCapability(list []string, name string) bool {
	return slices.ContainsFunc(list, func(c string) bool {
		c = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
		return c == name || c == "ALL"
	})
}

// Secure applies the security contexts, the container's before the pod's.
func Secure(s *cri.Spec, pod *v1.Pod, c *v1.Container, image cri.Image, root string) error {
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
	if psc.WindowsOptions != nil || sc.WindowsOptions != nil {
		return errors.New("windowsOptions are not supported: the node runs Linux")
	}
	s.SELinux = selinux(psc.SELinuxOptions, sc.SELinuxOptions)
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
	s.Privileged, s.ReadOnlyRoot = ptr.Deref(sc.Privileged, false), ptr.Deref(sc.ReadOnlyRootFilesystem, false)
	s.NoNewPrivileges = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
	s.UnmaskedProc = sc.ProcMount != nil && *sc.ProcMount == v1.UnmaskedProcMount
	profile := sc.SeccompProfile
	if profile == nil {
		profile = psc.SeccompProfile
	}
	appArmor(s, pod, psc, sc, c.Name)
	return seccomp(s, profile, root)
}

// selinux returns the parts of the container's label. A machine without SELinux ignores them, as
// with upstream's runtimes.
func selinux(pod, own *v1.SELinuxOptions) []string {
	o := cmp.Or(own, pod)
	if o == nil {
		return nil
	}
	var out []string
	for _, part := range []struct{ name, value string }{{"user", o.User}, {"role", o.Role}, {"type", o.Type}, {"level", o.Level}} {
		if part.value != "" {
			out = append(out, part.name+":"+part.value)
		}
	}
	return out
}

func seccomp(s *cri.Spec, profile *v1.SeccompProfile, root string) error {
	if profile == nil {
		return nil
	}
	switch profile.Type {
	case v1.SeccompProfileTypeUnconfined:
		s.Seccomp = "unconfined"
	case v1.SeccompProfileTypeRuntimeDefault:
		s.NeedsSeccomp = true
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
	if ptr.Deref(nonRoot, false) {
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
