package podrules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/api/rules"
)

// HasSlash reports whether a resource name has a domain.
func HasSlash(s string) bool { return strings.Contains(s, "/") }

func isHugePageResourceName(n corev1.ResourceName) bool {
	return strings.HasPrefix(string(n), corev1.ResourceHugePagesPrefix)
}

func isStandardContainerResourceName(n corev1.ResourceName) bool {
	return n == corev1.ResourceCPU || n == corev1.ResourceMemory || n == corev1.ResourceEphemeralStorage || isHugePageResourceName(n)
}

// IsStandardResourceName reports whether a quota may have the name without a domain.
func IsStandardResourceName(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
		corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims, corev1.ResourceStorage,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return isStandardContainerResourceName(n) || strings.HasPrefix(string(n), corev1.ResourceRequestsHugePagesPrefix)
}

// IsNativeResource reports whether the name is in the kubernetes.io domain, as upstream's function of that name.
// Others are extended resources.
func IsNativeResource(n corev1.ResourceName) bool {
	return !HasSlash(string(n)) || strings.Contains(string(n), corev1.ResourceDefaultNamespacePrefix)
}

func isExtendedResourceName(n corev1.ResourceName) bool {
	if IsNativeResource(n) || strings.HasPrefix(string(n), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	// The name of a quota on it must be valid too.
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(n))) == 0
}

func isIntegerResourceName(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return isExtendedResourceName(n)
}

// IsOvercommitAllowed reports whether requests may be below limits.
func IsOvercommitAllowed(n corev1.ResourceName) bool {
	return IsNativeResource(n) && !isHugePageResourceName(n)
}

// ValidateResourceName validates the name of a resource of a node, a quota or a limit range.
func ValidateResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if errs := rules.Invalid(p, n, validation.IsQualifiedName(string(n))); len(errs) > 0 {
		return errs
	}
	if !HasSlash(string(n)) && !IsStandardResourceName(n) {
		return field.ErrorList{field.Invalid(p, n, "must be a standard resource type or fully qualified")}
	}
	return nil
}

// ValidateContainerResourceName validates the name of a resource of a container.
func ValidateContainerResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if n == corev1.ResourceCPU || n == corev1.ResourceMemory { // nearly all
		return nil
	}
	errs := ValidateResourceName(n, p)
	switch {
	case !HasSlash(string(n)) && !isStandardContainerResourceName(n):
		errs = append(errs, field.Invalid(p, n, "must be a standard resource for containers"))
	case HasSlash(string(n)) && !IsNativeResource(n) && !isExtendedResourceName(n):
		errs = append(errs, field.Invalid(p, n, "doesn't follow extended resource name standard"))
	}
	return errs
}

func validatePodResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if errs := ValidateResourceName(n, p); len(errs) > 0 {
		return errs
	}
	if n == corev1.ResourceCPU || n == corev1.ResourceMemory || isHugePageResourceName(n) {
		return nil
	}
	return field.ErrorList{field.NotSupported(p, n, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceHugePagesPrefix, corev1.ResourceMemory})}
}

// ValidateResourceQuantityValue validates an amount of a resource.
func ValidateResourceQuantityValue(n corev1.ResourceName, q resource.Quantity, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(p, q.String(), rules.IsNegative))
	}
	if isIntegerResourceName(n) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(p, q, rules.NotInteger))
	}
	return errs
}

// ValidateBasicResource reports a negative amount.
func ValidateBasicResource(q resource.Quantity, p *field.Path) field.ErrorList {
	if n := q.Value(); n < 0 {
		return field.ErrorList{field.Invalid(p, n, "must be a valid resource quantity")}
	}
	return nil
}

// ValidateResourceList validates names and amounts.
func ValidateResourceList(l corev1.ResourceList, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for n, q := range l {
		errs = append(errs, ValidateResourceName(n, p)...)
		errs = append(errs, ValidateResourceQuantityValue(n, q, p.Key(string(n)))...)
	}
	return errs
}

// ValidateResourceRequirements validates names and amounts of a container, and that no request is above its limit. The claims are
// the names of the pod's resource claims.
func ValidateResourceRequirements(r *corev1.ResourceRequirements, claims []string, p *field.Path) field.ErrorList {
	return validateResourceRequirements(r, ValidateContainerResourceName, claims, p)
}

func validateResourceRequirements(r *corev1.ResourceRequirements, name func(corev1.ResourceName, *field.Path) field.ErrorList, claims []string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range sortedNames(r.Limits) {
		errs = append(errs, validateResourceAmount(n, r.Limits[n], name, p.Child("limits").Key(string(n)))...)
	}
	for _, n := range sortedNames(r.Requests) {
		errs = append(errs, validateResourceAmount(n, r.Requests[n], name, p.Child("requests").Key(string(n)))...)
		errs = append(errs, validateResourceRequest(n, r.Requests[n], r.Limits, p)...)
	}
	errs = append(errs, validateHugePages(r, p)...)
	return append(errs, validateResourceClaimNames(r.Claims, claims, p.Child("claims"))...)
}

// sortedNames returns the names in an order that does not change from one error to the next.
func sortedNames(l corev1.ResourceList) []corev1.ResourceName {
	if len(l) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(l))
}

func validateResourceAmount(n corev1.ResourceName, q resource.Quantity, name func(corev1.ResourceName, *field.Path) field.ErrorList, p *field.Path) field.ErrorList {
	errs := append(name(n, p), ValidateResourceQuantityValue(n, q, p)...)
	if !isHugePageResourceName(n) {
		return errs
	}
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(n), corev1.ResourceHugePagesPrefix))
	if err != nil || size.Value() <= 0 || q.Value()%size.Value() != 0 {
		errs = append(errs, field.Invalid(p, q.String(), fmt.Sprintf("%s is not positive integer multiple of %s", q.String(), n)))
	}
	return errs
}

// validateResourceRequest compares a request with its limit, in the requirements at p.
func validateResourceRequest(n corev1.ResourceName, q resource.Quantity, limits corev1.ResourceList, p *field.Path) field.ErrorList {
	limit, ok := limits[n]
	switch {
	case !ok:
		if !IsOvercommitAllowed(n) {
			return field.ErrorList{field.Required(p.Child("limits"), "Limit must be set for non overcommitable resources")}
		}
	case !IsOvercommitAllowed(n) && q.Cmp(limit) != 0:
		return field.ErrorList{field.Invalid(p.Child("requests"), q.String(), fmt.Sprintf("must be equal to %s limit of %s", n, limit.String()))}
	case q.Cmp(limit) > 0:
		return field.ErrorList{field.Invalid(p.Child("requests"), q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", n, limit.String()))}
	}
	return nil
}

// validatePodResources validates the resources of the pod as a whole, and that those of its containers fit in.
func (c *podSpecValidator) validatePodResources(p *field.Path) field.ErrorList {
	r := c.spec.Resources
	if c.spec.OS != nil && c.spec.OS.Name == corev1.Windows {
		return field.ErrorList{field.Forbidden(p, "may not be set for a windows pod")}
	}
	var errs field.ErrorList
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(p.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	errs = append(errs, validateResourceRequirements(r, validatePodResourceName, c.claimNames, p)...)
	requests := resourcehelper.AggregateContainerRequests(&corev1.Pod{Spec: *c.spec}, resourcehelper.PodResourcesOptions{})
	for _, n := range sortedNames(requests) {
		sum := requests[n]
		if own, set := r.Requests[n]; set && sum.Cmp(own) > 0 {
			errs = append(errs, field.Invalid(p.Child("requests").Key(string(n)), own.String(),
				"must be greater than or equal to aggregate container requests of "+sum.String()))
		}
	}
	limits := resourcehelper.AggregateContainerLimits(&corev1.Pod{Spec: *c.spec}, resourcehelper.PodResourcesOptions{})
	for _, n := range sortedNames(limits) {
		sum := limits[n]
		if own, set := r.Limits[n]; set && isHugePageResourceName(n) && sum.Cmp(own) > 0 {
			errs = append(errs, field.Invalid(p.Child("limits").Key(string(n)), own.String(),
				"must be greater than or equal to aggregate container limits of "+sum.String()))
		}
	}
	for i := range c.spec.Containers {
		own := c.spec.Containers[i].Resources.Limits
		for _, n := range sortedNames(own) {
			q := own[n]
			if limit, set := r.Limits[n]; set && q.Cmp(limit) > 0 {
				errs = append(errs, field.Invalid(p.Child("containers").Index(i).Key(string(n)).Child("limits"), q.String(),
					"must be less than or equal to pod limits of "+limit.String()))
			}
		}
	}
	return errs
}

func validateHugePages(r *corev1.ResourceRequirements, p *field.Path) field.ErrorList {
	hugePages, cpuOrMemory := false, false
	for _, l := range []corev1.ResourceList{r.Limits, r.Requests} {
		for n := range l {
			hugePages = hugePages || isHugePageResourceName(n)
			cpuOrMemory = cpuOrMemory || n == corev1.ResourceCPU || n == corev1.ResourceMemory
		}
	}
	if hugePages && !cpuOrMemory {
		return field.ErrorList{field.Forbidden(p, "HugePages require cpu or memory")}
	}
	return nil
}

// validateResourceClaimNames validates the claims that a container uses: whole, or by request. No two may overlap.
func validateResourceClaimNames(used []corev1.ResourceClaim, claims []string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	whole, byRequest, requests := map[string]bool{}, map[string]int{}, map[string]bool{}
	for i, c := range used {
		at := p.Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		switch key := c.Name + "/" + c.Request; {
		case whole[c.Name]:
			errs = append(errs, field.Duplicate(at, c.Name))
		case c.Request == "":
			for range byRequest[c.Name] {
				errs = append(errs, field.Duplicate(at, c.Name))
			}
			whole[c.Name] = true
		default:
			errs = append(errs, rules.Invalid(at.Child("request"), c.Request, validation.IsDNS1123Label(c.Request))...)
			if requests[key] {
				errs = append(errs, field.Duplicate(at, key))
			} else {
				byRequest[c.Name]++
			}
			requests[key] = true
		}
		if slices.Contains(claims, c.Name) {
			continue
		}
		unknown := field.NotFound(at, c.Name)
		unknown.Detail = "must be one of the names in pod.spec.resourceClaims"
		if len(claims) == 0 {
			unknown.Detail += " which is empty"
		} else {
			unknown.Detail += ": " + strings.Join(claims, ", ")
		}
		errs = append(errs, unknown)
	}
	return errs
}

// validateResourceClaims validates the resource claims of the pod and records their names.
func (c *podSpecValidator) validateResourceClaims(p *field.Path) field.ErrorList {
	list := c.spec.ResourceClaims
	if len(list) == 0 {
		return nil
	}
	var errs field.ErrorList
	for i := range list {
		claim, at := &list[i], p.Index(i)
		if c.meta != nil && c.meta.Annotations[corev1.MirrorPodAnnotationKey] != "" {
			errs = append(errs, field.Forbidden(field.NewPath(""), "static pods do not support resource claims"))
			continue
		}
		switch {
		case claim.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case slices.Contains(c.claimNames, claim.Name):
			errs = append(errs, field.Duplicate(at.Child("name"), claim.Name))
		default:
			errs = append(errs, rules.Invalid(at.Child("name"), claim.Name, validation.IsDNS1123Label(claim.Name))...)
			c.claimNames = append(c.claimNames, claim.Name)
		}
		switch {
		case claim.ResourceClaimName != nil && claim.ResourceClaimTemplateName != nil:
			errs = append(errs, field.Invalid(at, *claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		case claim.ResourceClaimName == nil && claim.ResourceClaimTemplateName == nil:
			errs = append(errs, field.Invalid(at, *claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		errs = append(errs, rules.OptionalPointer(claim.ResourceClaimName, at.Child("resourceClaimName"), validation.IsDNS1123Subdomain)...)
		errs = append(errs, rules.OptionalPointer(claim.ResourceClaimTemplateName, at.Child("resourceClaimTemplateName"), validation.IsDNS1123Subdomain)...)
	}
	slices.Sort(c.claimNames)
	return errs
}
