package containerspec

import (
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// appArmor sets the profile: the container's before the pod's, and that before the
// deprecated annotation.
func appArmor(s *cri.Spec, pod *v1.Pod, psc *v1.PodSecurityContext, sc *v1.SecurityContext, container string) {
	profile := sc.AppArmorProfile
	if profile == nil {
		profile = psc.AppArmorProfile
	}
	if profile == nil {
		profile = annotatedAppArmor(pod, container)
	}
	if profile == nil {
		return
	}
	switch profile.Type {
	case v1.AppArmorProfileTypeUnconfined:
		s.AppArmor = "unconfined"
	case v1.AppArmorProfileTypeRuntimeDefault:
		s.NeedsAppArmor = true
	case v1.AppArmorProfileTypeLocalhost:
		s.NeedsAppArmor = true
		if profile.LocalhostProfile != nil {
			s.AppArmor = *profile.LocalhostProfile
		}
	}
}

// AppArmorFailure is why a node, on whose machine AppArmor is enabled or not, rejects the pod, empty if it does not. As upstream, any
// profile but Unconfined needs AppArmor, of the pod, of one of its containers, or in the deprecated annotation.
func AppArmorFailure(pod *v1.Pod, enabled bool) string {
	if enabled || !needsAppArmor(pod) {
		return ""
	}
	return "Cannot enforce AppArmor: AppArmor is not enabled on the host"
}

func needsAppArmor(pod *v1.Pod) bool {
	confined := func(p *v1.AppArmorProfile) bool { return p != nil && p.Type != v1.AppArmorProfileTypeUnconfined }
	if sc := pod.Spec.SecurityContext; sc != nil && confined(sc.AppArmorProfile) {
		return true
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && confined(sc.AppArmorProfile) {
				return true
			}
		}
	}
	for key, value := range pod.Annotations {
		if strings.HasPrefix(key, v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) && value != v1.DeprecatedAppArmorBetaProfileNameUnconfined {
			return true
		}
	}
	return false
}

// AppArmorEnabled reports whether the machine's kernel has AppArmor, and it is in use.
func AppArmorEnabled() bool {
	on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.TrimSpace(string(on)) == "Y"
}

func annotatedAppArmor(pod *v1.Pod, container string) *v1.AppArmorProfile {
	value := pod.Annotations[v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+container]
	if name, ok := strings.CutPrefix(value, v1.DeprecatedAppArmorBetaProfileNamePrefix); ok {
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	switch value {
	case v1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}
	case v1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeRuntimeDefault}
	}
	return nil
}

// safeSysctls are the kernel parameters that are namespaced, and cannot harm other pods.
var safeSysctls = []string{
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}

// ForbiddenSysctl is why the node rejects the sysctls of the pod, empty if it does not.
func ForbiddenSysctl(pod *v1.Pod) string {
	sc := pod.Spec.SecurityContext
	if sc == nil {
		return ""
	}
	for _, s := range sc.Sysctls {
		name := strings.ReplaceAll(s.Name, "/", ".")
		switch {
		case !slices.Contains(safeSysctls, name):
			return fmt.Sprintf("forbidden sysctl: %q not allowlisted", s.Name)
		case pod.Spec.HostNetwork && strings.HasPrefix(name, "net."):
			return fmt.Sprintf("forbidden sysctl: %q not allowed with host net enabled", s.Name)
		case pod.Spec.HostIPC && strings.HasPrefix(name, "kernel.shm"):
			return fmt.Sprintf("forbidden sysctl: %q not allowed with host ipc enabled", s.Name)
		}
	}
	return ""
}

// Sysctls are the sysctls of the pod, by name with dots.
func Sysctls(pod *v1.Pod) map[string]string {
	out := map[string]string{}
	if sc := pod.Spec.SecurityContext; sc != nil {
		for _, s := range sc.Sysctls {
			out[strings.ReplaceAll(s.Name, "/", ".")] = s.Value
		}
	}
	return out
}
