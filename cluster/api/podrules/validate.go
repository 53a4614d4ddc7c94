// Package podrules has the defaults, the validation and the warnings of pod specs and pod templates, for the
// kinds of all groups. Nothing here does I/O.
package podrules

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

// podSpecValidator validates one pod spec. The order of the errors is upstream's.
type podSpecValidator struct {
	template bool               // the spec is of a pod template
	meta     *metav1.ObjectMeta // of the pod, nil for a template

	spec       *corev1.PodSpec
	volumes    map[string]*corev1.VolumeSource // the valid ones
	claimNames []string
}

var (
	pullPolicies    = []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}
	restartPolicies = []corev1.RestartPolicy{corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}
	dnsPolicies     = []corev1.DNSPolicy{corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone}
)

// ValidatePod validates the metadata, annotations included, and the spec of a pod.
func ValidatePod(pod *corev1.Pod) field.ErrorList {
	c := &podSpecValidator{meta: &pod.ObjectMeta, spec: &pod.Spec}
	errs := rules.ValidateObjectMeta(&pod.ObjectMeta, true, rules.DNSSubdomain)
	errs = append(errs, ValidatePodAnnotations(pod.Annotations, &pod.Spec, rules.MetadataPath.Child("annotations"))...)
	errs = append(errs, c.validate(rules.SpecPath)...)
	return append(errs, c.validateOnlyForPod(rules.SpecPath)...)
}

// ValidateNewPod is ValidatePod for a pod that is created.
func ValidateNewPod(pod *corev1.Pod) field.ErrorList {
	errs := ValidatePod(pod)
	if len(pod.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return append(errs, validateProfileAnnotations(&pod.ObjectMeta, &pod.Spec, rules.SpecPath)...)
}

func (c *podSpecValidator) validate(p *field.Path) field.ErrorList {
	s := c.spec
	errs := c.validateVolumes(s.Volumes, p.Child("volumes"))
	errs = append(errs, c.validateResourceClaims(p.Child("resourceClaims"))...)
	errs = append(errs, c.validateContainers(p)...)
	if s.Resources != nil {
		errs = append(errs, c.validatePodResources(p.Child("resources"))...)
	}
	errs = append(errs, c.validateHostNetworkPorts(p.Child("containers"))...)
	errs = append(errs, rules.RequiredOneOf(s.RestartPolicy, p.Child("restartPolicy"), restartPolicies...)...)
	errs = append(errs, rules.RequiredOneOf(s.DNSPolicy, p.Child("dnsPolicy"), dnsPolicies...)...)
	if len(s.NodeSelector) > 0 {
		errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, p.Child("nodeSelector"))...)
	}
	errs = append(errs, validatePodSecurityContext(s, p.Child("securityContext"))...)
	if s.Affinity != nil {
		errs = append(errs, validateAffinity(s.Affinity, p.Child("affinity"))...)
	}
	errs = append(errs, validatePodDNSConfig(s, p)...)
	errs = append(errs, c.validateGates(p)...)
	errs = append(errs, validateTopologySpreadConstraints(s.TopologySpreadConstraints, p.Child("topologySpreadConstraints"))...)
	errs = append(errs, validateHostUsers(s, p)...)
	errs = append(errs, validateHostnameOverride(s, p)...)
	errs = append(errs, validatePodNames(s, p)...)
	errs = append(errs, rules.OptionalOneOf(s.PreemptionPolicy, p.Child("preemptionPolicy"), corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	if len(s.Overhead) > 0 {
		errs = append(errs, ValidateResourceRequirements(&corev1.ResourceRequirements{Limits: s.Overhead}, nil, p.Child("overhead"))...)
	}
	errs = append(errs, validateOS(s, p)...)
	return append(errs, c.validateFileKeyRefVolumes(p)...)
}

// validateOnlyForPod validates what templates may have, for compatibility, and pods not.
func (c *podSpecValidator) validateOnlyForPod(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.spec.ServiceAccountName == "" {
		for i := range c.spec.Volumes {
			projected := c.spec.Volumes[i].Projected
			if projected == nil {
				continue
			}
			for k := range projected.Sources {
				if projected.Sources[k].ServiceAccountToken != nil {
					errs = append(errs, field.Forbidden(p.Child("volumes").Index(i).Child("projected", "sources").Index(k).Child("serviceAccountToken"),
						"must not be specified when serviceAccountName is not set"))
				}
			}
		}
	}
	for _, list := range []struct {
		name       string
		containers []corev1.Container
	}{{"containers", c.spec.Containers}, {"initContainers", c.spec.InitContainers}} {
		for i := range list.containers {
			errs = append(errs, validateImageIsTrimmed(list.containers[i].Image, p.Child(list.name).Index(i).Child("image"))...)
		}
	}
	return errs
}

func validateImageIsTrimmed(image string, p *field.Path) field.ErrorList {
	if strings.TrimSpace(image) != image {
		return field.ErrorList{field.Invalid(p, image, "must not have leading or trailing whitespace")}
	}
	return nil
}

func validateOS(s *corev1.PodSpec, p *field.Path) field.ErrorList {
	switch {
	case s.OS == nil:
		return nil
	case s.OS.Name == "":
		return field.ErrorList{field.Required(p.Child("os", "name"), "")}
	}
	return rules.OneOf(s.OS.Name, p.Child("os"), corev1.Linux, corev1.Windows)
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
	if s.ActiveDeadlineSeconds != nil {
		v := *s.ActiveDeadlineSeconds
		if v < 1 || v > math.MaxInt32 {
			errs = append(errs, field.Invalid(p.Child("activeDeadlineSeconds"), v, validation.InclusiveRangeError(1, math.MaxInt32)))
		}
	}
	name("hostname", s.Hostname, validation.IsDNS1123Label)
	name("subdomain", s.Subdomain, validation.IsDNS1123Label)
	if len(s.Tolerations) > 0 {
		errs = append(errs, ValidateTolerations(s.Tolerations, p.Child("tolerations"))...)
	}
	errs = append(errs, validateHostAliases(s.HostAliases, p.Child("hostAliases"))...)
	name("priorityClassName", s.PriorityClassName, validation.IsDNS1123Subdomain)
	return append(errs, rules.OptionalPointer(s.RuntimeClassName, p.Child("runtimeClassName"), validation.IsDNS1123Subdomain)...)
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
		errs = append(errs, rules.Invalid(scheduling.Index(i), g.Name, validation.IsQualifiedName(g.Name))...)
		errs = append(errs, rules.Unique(seen, g.Name, scheduling.Index(i), g.Name)...)
	}
	return errs
}

// eachContainer calls f for all containers of the pod spec at p, with their paths.
func eachContainer(s *corev1.PodSpec, p *field.Path, f func(ctr *corev1.Container, p *field.Path)) {
	for i := range s.InitContainers {
		f(&s.InitContainers[i], p.Child("initContainers").Index(i))
	}
	for i := range s.Containers {
		f(&s.Containers[i], p.Child("containers").Index(i))
	}
	for i := range s.EphemeralContainers {
		f((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon), p.Child("ephemeralContainers").Index(i))
	}
}

const (
	maxSysctlName = 253
	sysctlFormat  = `^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`
)

const maxAppArmorProfile = 4095 // bytes of a path

func validateHostAliases(aliases []corev1.HostAlias, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, a := range aliases {
		errs = append(errs, validation.IsValidIPForLegacyField(p.Index(i).Child("ip"), a.IP, true, nil)...)
		for k, h := range a.Hostnames {
			errs = append(errs, rules.Invalid(p.Index(i).Child("hostnames").Index(k), h, validation.IsDNS1123Subdomain(h))...)
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
			return append(errs, field.Required(p.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
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
		errs = append(errs, validation.IsValidIPForLegacyField(servers.Index(i), n, true, nil)...)
	}
	searches, chars := p.Child("searches"), 0
	if len(d.Searches) > maxSearches {
		errs = append(errs, field.Invalid(searches, d.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearches)))
	}
	for _, v := range d.Searches {
		chars += len(v) + 1
	}
	if chars-1 > maxSearchChars {
		errs = append(errs, field.Invalid(searches, d.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchChars)))
	}
	for i, v := range d.Searches {
		if v != "." {
			name := strings.TrimSuffix(v, ".")
			errs = append(errs, rules.Invalid(searches.Index(i), name, validation.IsDNS1123SubdomainWithUnderscore(name))...)
		}
	}
	for i, o := range d.Options {
		if o.Name == "" {
			errs = append(errs, field.Required(p.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}
