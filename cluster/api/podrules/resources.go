package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

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

// isNativeResource reports whether the name is in the kubernetes.io domain, as upstream's IsNativeResource.
// Others are extended resources.
func isNativeResource(n corev1.ResourceName) bool {
	return !HasSlash(string(n)) || strings.Contains(string(n), corev1.ResourceDefaultNamespacePrefix)
}

func isExtendedResourceName(n corev1.ResourceName) bool {
	if isNativeResource(n) || strings.HasPrefix(string(n), corev1.DefaultResourceRequestsPrefix) {
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

func isOvercommitAllowed(n corev1.ResourceName) bool {
	return isNativeResource(n) && !isHugePageResourceName(n)
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

func validateContainerResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if isStandardContainerResourceName(n) && !isHugePageResourceName(n) {
		return nil
	}
	if errs := ValidateResourceName(n, p); len(errs) > 0 {
		return errs
	}
	if !HasSlash(string(n)) {
		if !isStandardContainerResourceName(n) {
			return field.ErrorList{field.Invalid(p, n, "must be a standard resource for containers")}
		}
	} else if !isNativeResource(n) && !isExtendedResourceName(n) {
		return field.ErrorList{field.Invalid(p, n, "doesn't follow extended resource name standard")}
	}
	return nil
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

// ValidateResourceList validates names and amounts.
func ValidateResourceList(l corev1.ResourceList, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for n, q := range l {
		errs = append(errs, ValidateResourceName(n, p)...)
		errs = append(errs, ValidateResourceQuantityValue(n, q, p.Key(string(n)))...)
	}
	return errs
}

// ValidateResourceRequirements validates names and amounts, and that no request is above its limit.
func ValidateResourceRequirements(r *corev1.ResourceRequirements, claims []corev1.PodResourceClaim, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Limits) > 0 {
		limits := p.Child("limits")
		for n, q := range r.Limits {
			errs = append(errs, validateContainerResource(n, q, limits)...)
		}
	}
	if len(r.Requests) > 0 {
		requests := p.Child("requests")
		for n, q := range r.Requests {
			errs = append(errs, validateContainerResource(n, q, requests)...)
			errs = append(errs, validateResourceRequest(n, q, r.Limits, requests, p)...)
		}
	}
	errs = append(errs, validateHugePages(r, p)...)
	return append(errs, validateResourceClaimNames(r.Claims, claims, p.Child("claims"))...)
}

func validateContainerResource(n corev1.ResourceName, q resource.Quantity, p *field.Path) field.ErrorList {
	errs := validateContainerResourceName(n, p)
	if q.Sign() < 0 || isIntegerResourceName(n) {
		errs = append(errs, ValidateResourceQuantityValue(n, q, p.Key(string(n)))...)
	}
	return errs
}

func validateResourceRequest(n corev1.ResourceName, q resource.Quantity, limits corev1.ResourceList, requests, p *field.Path) field.ErrorList {
	limit, ok := limits[n]
	switch {
	case !ok:
		if !isOvercommitAllowed(n) {
			return field.ErrorList{field.Required(p.Child("limits"), "Limit must be set for non overcommitable resources")}
		}
	case !isOvercommitAllowed(n):
		if q.Cmp(limit) != 0 {
			return field.ErrorList{field.Invalid(requests, q.String(), fmt.Sprintf("must be equal to %s limit of %s", n, limit.String()))}
		}
	case q.Cmp(limit) > 0:
		return field.ErrorList{field.Invalid(requests, q.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", n, limit.String()))}
	}
	return nil
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

func validateResourceClaimNames(used []corev1.ResourceClaim, claims []corev1.PodResourceClaim, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceClaim]bool{}
	for i, c := range used {
		if c.Name == "" {
			errs = append(errs, field.Required(p.Index(i), ""))
			continue
		}
		errs = append(errs, rules.Unique(seen, c, p.Index(i), c.Name)...)
		found := false
		for k := range claims {
			found = found || claims[k].Name == c.Name
		}
		if !found {
			errs = append(errs, field.NotFound(p.Index(i), c.Name))
		}
	}
	return errs
}
