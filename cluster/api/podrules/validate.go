// Package podrules has the defaults, the validation and the warnings of pod specs and pod templates, for the
// kinds of all groups. Nothing here does I/O.
package podrules

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

// podSpecValidator validates one pod spec.
type podSpecValidator struct {
	template bool // the spec is of a pod template, where an image may be empty

	spec    *corev1.PodSpec
	volumes map[string]*corev1.VolumeSource
	names   map[string]bool // of all containers
}

var (
	pullPolicies    = []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}
	restartPolicies = []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyNever, corev1.RestartPolicyOnFailure}
	dnsPolicies     = []corev1.DNSPolicy{corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSDefault, corev1.DNSNone}
)

// ValidatePodSpec validates the spec of a pod at p.
func ValidatePodSpec(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	return (&podSpecValidator{spec: s}).validate(p)
}

func (c *podSpecValidator) validate(p *field.Path) field.ErrorList {
	s := c.spec
	c.names = make(map[string]bool, len(s.Containers)+len(s.InitContainers))
	errs := c.validateVolumes(s.Volumes, p.Child("volumes"))
	errs = append(errs, c.validateContainers(p)...)
	errs = append(errs, rules.RequiredOneOf(s.RestartPolicy, p.Child("restartPolicy"), restartPolicies...)...)
	errs = append(errs, rules.RequiredOneOf(s.DNSPolicy, p.Child("dnsPolicy"), dnsPolicies...)...)
	if len(s.NodeSelector) > 0 {
		errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, p.Child("nodeSelector"))...)
	}
	errs = append(errs, validatePodSecurity(s, p)...)
	errs = append(errs, validatePodNames(s, p)...)
	errs = append(errs, validateHostAliases(s.HostAliases, p.Child("hostAliases"))...)
	errs = append(errs, validatePodDNSConfig(s, p)...)
	if s.Affinity != nil {
		errs = append(errs, validateAffinity(s.Affinity, p.Child("affinity"))...)
	}
	if len(s.Tolerations) > 0 {
		errs = append(errs, ValidateTolerations(s.Tolerations, p.Child("tolerations"))...)
	}
	errs = append(errs, validateTopologySpreadConstraints(s.TopologySpreadConstraints, p.Child("topologySpreadConstraints"))...)
	errs = append(errs, c.validateGates(p)...)
	if s.ActiveDeadlineSeconds != nil {
		v := *s.ActiveDeadlineSeconds
		if v < 1 || v > math.MaxInt32 {
			errs = append(errs, field.Invalid(p.Child("activeDeadlineSeconds"), v, validation.InclusiveRangeError(1, math.MaxInt32)))
		}
	}
	errs = append(errs, rules.OptionalOneOf(s.PreemptionPolicy, p.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	errs = append(errs, ValidateResourceList(s.Overhead, p.Child("overhead"))...)
	if s.Resources != nil {
		errs = append(errs, ValidateResourceRequirements(s.Resources, nil, p.Child("resources"))...)
	}
	if s.OS != nil {
		os := p.Child("os", "name")
		errs = append(errs, rules.RequiredOneOf(s.OS.Name, os, corev1.Linux, corev1.Windows)...)
	}
	return errs
}

// validatePodNames validates the fields that name hosts and other objects.
func validatePodNames(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := func(child, v string, rule func(string) []string) {
		if v != "" {
			errs = append(errs, rules.Invalid(p.Child(child), v, rule(v))...)
		}
	}
	name("serviceAccountName", s.ServiceAccountName, validation.IsDNS1123Subdomain)
	name("nodeName", s.NodeName, validation.IsDNS1123Subdomain)
	name("hostname", s.Hostname, validation.IsDNS1123Label)
	name("subdomain", s.Subdomain, validation.IsDNS1123Label)
	name("priorityClassName", s.PriorityClassName, validation.IsDNS1123Subdomain)
	errs = append(errs, validateHostnameOverride(s, p)...)
	errs = append(errs, rules.OptionalPointer(s.RuntimeClassName, p.Child("runtimeClassName"), validation.IsDNS1123Subdomain)...)
	name("schedulerName", s.SchedulerName, validation.IsQualifiedName)
	for i, r := range s.ImagePullSecrets {
		errs = append(errs, rules.Required(r.Name, p.Child("imagePullSecrets").Index(i).Child("name"))...)
	}
	return errs
}

// validateHostnameOverride validates the hostname that replaces the pod's own. Linux limits its length.
func validateHostnameOverride(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	if s.HostnameOverride == nil {
		return nil
	}
	var errs field.ErrorList
	at, name := p.Child("hostnameOverride"), *s.HostnameOverride
	if ptr.Deref(s.SetHostnameAsFQDN, false) {
		errs = append(errs, field.Forbidden(at, "may not be specified when setHostnameAsFQDN is true"))
	}
	if s.HostNetwork {
		errs = append(errs, field.Forbidden(at, "may not be specified when hostNetwork is true"))
	}
	if len(name) > 64 {
		errs = append(errs, field.TooLong(at, "", 64))
	}
	return append(errs, rules.Invalid(at, name, validation.IsDNS1123Subdomain(name))...)
}

func (c *podSpecValidator) validateGates(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	ready := p.Child("readinessGates")
	for i, g := range c.spec.ReadinessGates {
		errs = append(errs, rules.Invalid(ready.Index(i).Child("conditionType"), string(g.ConditionType), validation.IsQualifiedName(string(g.ConditionType)))...)
	}
	scheduling := p.Child("schedulingGates")
	seen := map[string]bool{}
	for i, g := range c.spec.SchedulingGates {
		errs = append(errs, rules.Unique(seen, g.Name, scheduling.Index(i), g.Name)...)
		errs = append(errs, rules.Invalid(scheduling.Index(i), g.Name, validation.IsQualifiedName(g.Name))...)
	}
	return errs
}

func validatePodSecurity(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ptr.Deref(s.ShareProcessNamespace, false) && s.HostPID {
		errs = append(errs, field.Invalid(p.Child("shareProcessNamespace"), *s.ShareProcessNamespace,
			"ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateHostUsers(s, p)...)
	sc := s.SecurityContext
	if sc == nil {
		return errs
	}
	at := p.Child("securityContext")
	errs = append(errs, rules.OptionalPointer(sc.FSGroup, at.Child("fsGroup"), validation.IsValidGroupID)...)
	errs = append(errs, rules.OptionalPointer(sc.RunAsUser, at.Child("runAsUser"), validation.IsValidUserID)...)
	errs = append(errs, rules.OptionalPointer(sc.RunAsGroup, at.Child("runAsGroup"), validation.IsValidGroupID)...)
	for i, g := range sc.SupplementalGroups {
		errs = append(errs, rules.Invalid(at.Child("supplementalGroups").Index(i), g, validation.IsValidGroupID(g))...)
	}
	errs = append(errs, rules.OptionalOneOf(sc.SupplementalGroupsPolicy, at.Child("supplementalGroupsPolicy"),
		corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	errs = append(errs, rules.OptionalOneOf(sc.FSGroupChangePolicy, at.Child("fsGroupChangePolicy"),
		corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	errs = append(errs, validateSysctls(sc.Sysctls, at.Child("sysctls"))...)
	errs = append(errs, validateSeccompProfile(sc.SeccompProfile, at.Child("seccompProfile"))...)
	return append(errs, validateAppArmorProfile(sc.AppArmorProfile, at.Child("appArmorProfile"))...)
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
	return errs
}

func validateSysctls(sysctls []corev1.Sysctl, p *field.Path) field.ErrorList {
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
		seen[s.Name] = true
	}
	return errs
}

const (
	maxSysctlName = 253
	sysctlFormat  = `^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`
)

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
	errs := rules.RequiredOneOf(s.Type, p.Child("type"), corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	return append(errs, validateLocalhostProfile(s.LocalhostProfile, s.Type == corev1.SeccompProfileTypeLocalhost, "seccomp", p.Child("localhostProfile"))...)
}

func validateAppArmorProfile(a *corev1.AppArmorProfile, p *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	errs := rules.RequiredOneOf(a.Type, p.Child("type"), corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	return append(errs, validateLocalhostProfile(a.LocalhostProfile, a.Type == corev1.AppArmorProfileTypeLocalhost, "AppArmor", p.Child("localhostProfile"))...)
}

func validateLocalhostProfile(profile *string, localhost bool, what string, p *field.Path) field.ErrorList {
	switch {
	case localhost && (profile == nil || *profile == ""):
		return field.ErrorList{field.Required(p, fmt.Sprintf("must be set when %s type is Localhost", what))}
	case !localhost && profile != nil:
		return field.ErrorList{field.Invalid(p, profile, fmt.Sprintf("can only be set when %s type is Localhost", what))}
	}
	return nil
}

func validateHostAliases(aliases []corev1.HostAlias, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, a := range aliases {
		errs = append(errs, validation.IsValidIPForLegacyField(p.Index(i).Child("ip"), a.IP, false, nil)...)
		for _, h := range a.Hostnames {
			errs = append(errs, rules.Invalid(p.Index(i).Child("hostnames"), h, validation.IsDNS1123Subdomain(h))...)
		}
	}
	return errs
}

const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

func validatePodDNSConfig(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	p = p.Child("dnsConfig")
	d := s.DNSConfig
	if s.DNSPolicy == corev1.DNSNone {
		if d == nil {
			return append(errs, field.Required(p, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone)))
		}
		if len(d.Nameservers) == 0 {
			errs = append(errs, field.Required(p.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
		}
	}
	if d == nil {
		return errs
	}
	servers := p.Child("nameservers")
	if len(d.Nameservers) > maxNameservers {
		errs = append(errs, field.Invalid(servers, d.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxNameservers)))
	}
	for i, n := range d.Nameservers {
		errs = append(errs, validation.IsValidIPForLegacyField(servers.Index(i), n, false, nil)...)
	}
	searches, chars := p.Child("searches"), 0
	if len(d.Searches) > maxSearches {
		errs = append(errs, field.Invalid(searches, d.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearches)))
	}
	for i, v := range d.Searches {
		chars += len(v) + 1
		if v != "." {
			errs = append(errs, rules.Invalid(searches.Index(i), v, validation.IsDNS1123SubdomainWithUnderscore(strings.TrimSuffix(v, ".")))...)
		}
	}
	if chars-1 > maxSearchChars {
		errs = append(errs, field.Invalid(searches, d.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchChars)))
	}
	for i, o := range d.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(p.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}
