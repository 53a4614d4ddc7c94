package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

func validatePodSecurityContext(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	sc := s.SecurityContext
	if sc == nil {
		sc = &corev1.PodSecurityContext{}
	}
	errs := rules.OptionalPointer(sc.FSGroup, p.Child("fsGroup"), validation.IsValidGroupID)
	errs = append(errs, rules.OptionalPointer(sc.RunAsUser, p.Child("runAsUser"), validation.IsValidUserID)...)
	errs = append(errs, rules.OptionalPointer(sc.RunAsGroup, p.Child("runAsGroup"), validation.IsValidGroupID)...)
	for i, g := range sc.SupplementalGroups {
		errs = append(errs, rules.Invalid(p.Child("supplementalGroups").Index(i), g, validation.IsValidGroupID(g))...)
	}
	if ptr.Deref(s.ShareProcessNamespace, false) && s.HostPID {
		errs = append(errs, field.Invalid(p.Child("shareProcessNamespace"), *s.ShareProcessNamespace,
			"ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateSysctls(sc.Sysctls, s, p.Child("sysctls"))...)
	errs = append(errs, rules.OptionalOneOf(sc.FSGroupChangePolicy, p.Child("fsGroupChangePolicy"),
		corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	errs = append(errs, validateSeccompProfile(sc.SeccompProfile, p.Child("seccompProfile"))...)
	errs = append(errs, validateAppArmorProfile(sc.AppArmorProfile, p.Child("appArmorProfile"))...)
	errs = append(errs, rules.OptionalOneOf(sc.SupplementalGroupsPolicy, p.Child("supplementalGroupsPolicy"),
		corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	// MountOption needs the gate SELinuxMount, which is off.
	return append(errs, rules.OptionalOneOf(sc.SELinuxChangePolicy, p.Child("seLinuxChangePolicy"), corev1.SELinuxChangePolicyRecursive)...)
}

// hasUserNamespace reports whether the pod has a user namespace of its own (hostUsers is false).
func hasUserNamespace(s *corev1.PodSpec) bool { return s.HostUsers != nil && !*s.HostUsers }

// validateHostUsers reports host namespaces that a pod with a user namespace must not use.
func validateHostUsers(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	if !hasUserNamespace(s) {
		return nil
	}
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{{"hostNetwork", s.HostNetwork}, {"HostPID", s.HostPID}, {"HostIPC", s.HostIPC}} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), "when `hostUsers` is false"))
		}
	}
	eachContainer(s, p, func(ctr *corev1.Container, p *field.Path) {
		if len(ctr.VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(p.Child("volumeDevices"), "when `hostUsers` is false"))
		}
	})
	return errs
}

func validateSysctls(sysctls []corev1.Sysctl, spec *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, s := range sysctls {
		at := p.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case !isSysctlName(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", maxSysctlName, sysctlFormat)))
		case seen[s.Name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		switch {
		case spec.HostNetwork && isNetSysctl(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostNetwork' is true"))
		case spec.HostIPC && isIPCSysctl(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, "may not be specified when 'hostIPC' is true"))
		}
		seen[s.Name] = true
	}
	return errs
}

func isNetSysctl(name string) bool {
	return strings.HasPrefix(strings.ReplaceAll(name, "/", "."), "net.")
}

func isIPCSysctl(name string) bool {
	name = strings.ReplaceAll(name, "/", ".")
	switch name {
	case "kernel.sem", "kernel.shm", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
		"kernel.msg", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni":
		return true
	}
	return strings.HasPrefix(name, "fs.mqueue.")
}

func isSysctlName(s string) bool {
	if len(s) > maxSysctlName {
		return false
	}
	edge := true // at the start or end of a segment, where only letters and digits are valid
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9':
			edge = false
			continue
		case b == '-' || b == '_':
			if edge || i+1 == len(s) || s[i+1] == '.' || s[i+1] == '/' {
				return false
			}
		case b == '.' || b == '/':
			if edge {
				return false
			}
			edge = true
		default:
			return false
		}
	}
	return !edge
}

func validateSeccompProfile(s *corev1.SeccompProfile, p *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	at := p.Child("localhostProfile")
	errs := requiredProfileType(s.Type, "seccompProfile", p.Child("type"), corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	switch localhost := s.Type == corev1.SeccompProfileTypeLocalhost; {
	case localhost && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(at, "must be set when seccomp type is Localhost"))
	case localhost:
		errs = append(errs, validateLocalDescendingPath(*s.LocalhostProfile, at)...)
	case s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(at, s, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func requiredProfileType[T ~string](t T, of string, p *field.Path, supported ...T) field.ErrorList {
	if t == "" {
		return field.ErrorList{field.Required(p, "type is required when "+of+" is set")}
	}
	return rules.OneOf(t, p, supported...)
}

func validateAppArmorProfile(a *corev1.AppArmorProfile, p *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	at, profile := p.Child("localhostProfile"), ptr.Deref(a.LocalhostProfile, "")
	switch a.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		var errs field.ErrorList
		switch {
		case a.LocalhostProfile == nil, profile == "":
			errs = append(errs, field.Required(at, "must be set when AppArmor type is Localhost"))
		case strings.TrimSpace(profile) != profile:
			errs = append(errs, field.Invalid(at, profile, "must not be padded with whitespace"))
		}
		if len(profile) > maxAppArmorProfile {
			errs = append(errs, field.TooLong(at, "", maxAppArmorProfile))
		}
		return errs
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if a.LocalhostProfile != nil {
			return field.ErrorList{field.Invalid(at, a.LocalhostProfile, "can only be set when AppArmor type is Localhost")}
		}
		return nil
	}
	return requiredProfileType(a.Type, "appArmorProfile", p.Child("type"), corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
}
