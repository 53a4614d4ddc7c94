package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// HasSlash reports whether a resource name has a domain.
func HasSlash(s string) bool { return strings.Contains(s, "/") }

func checkAnnotations(a map[string]string, p *field.Path) field.ErrorList {
	return apivalidation.ValidateAnnotations(a, p)
}

func isHugePages(n corev1.ResourceName) bool {
	return strings.HasPrefix(string(n), corev1.ResourceHugePagesPrefix)
}

func isStandardForContainers(n corev1.ResourceName) bool {
	return n == corev1.ResourceCPU || n == corev1.ResourceMemory || n == corev1.ResourceEphemeralStorage || isHugePages(n)
}

// IsStandardResource reports whether the name is one that a quota may have without a domain.
func IsStandardResource(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
		corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims, corev1.ResourceStorage,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return isStandardForContainers(n) || strings.HasPrefix(string(n), corev1.ResourceRequestsHugePagesPrefix)
}

// isNative: the name is Kubernetes' own; others are extended resources.
func isNative(n corev1.ResourceName) bool {
	return !HasSlash(string(n)) || strings.Contains(string(n), corev1.ResourceDefaultNamespacePrefix)
}

func isExtended(n corev1.ResourceName) bool {
	if isNative(n) || strings.HasPrefix(string(n), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	// A quota on it must be a valid name too.
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(n))) == 0
}

func isIntegerResource(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return isExtended(n)
}

func isOvercommitAllowed(n corev1.ResourceName) bool { return isNative(n) && !isHugePages(n) }

// CheckResourceName validates the name of a resource of a node, a quota or a limit range.
func CheckResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if errs := rules.Invalid(p, n, validation.IsQualifiedName(string(n))); len(errs) > 0 {
		return errs
	}
	if !HasSlash(string(n)) && !IsStandardResource(n) {
		return field.ErrorList{field.Invalid(p, n, "must be a standard resource type or fully qualified")}
	}
	return nil
}

func checkContainerResourceName(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if isStandardForContainers(n) && !isHugePages(n) {
		return nil
	}
	if errs := CheckResourceName(n, p); len(errs) > 0 {
		return errs
	}
	if !HasSlash(string(n)) {
		if !isStandardForContainers(n) {
			return field.ErrorList{field.Invalid(p, n, "must be a standard resource for containers")}
		}
	} else if !isNative(n) && !isExtended(n) {
		return field.ErrorList{field.Invalid(p, n, "doesn't follow extended resource name standard")}
	}
	return nil
}

// CheckQuantity validates an amount of a resource.
func CheckQuantity(n corev1.ResourceName, q resource.Quantity, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.Sign() < 0 {
		errs = append(errs, field.Invalid(p, q.String(), rules.IsNegative))
	}
	if isIntegerResource(n) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(p, q, rules.NotInteger))
	}
	return errs
}

// CheckResourceList validates names and amounts.
func CheckResourceList(l corev1.ResourceList, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for n, q := range l {
		errs = append(errs, CheckResourceName(n, p)...)
		errs = append(errs, CheckQuantity(n, q, p.Key(string(n)))...)
	}
	return errs
}

// CheckContainerResources checks names and numbers, and that no request is above its limit.
func CheckContainerResources(r *corev1.ResourceRequirements, claims []corev1.PodResourceClaim, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Limits) > 0 {
		limits := p.Child("limits")
		for n, q := range r.Limits {
			errs = append(errs, checkContainerQuantity(n, q, limits)...)
		}
	}
	if len(r.Requests) > 0 {
		requests := p.Child("requests")
		for n, q := range r.Requests {
			errs = append(errs, checkContainerQuantity(n, q, requests)...)
			errs = append(errs, checkRequest(n, q, r.Limits, requests, p)...)
		}
	}
	errs = append(errs, checkHugePages(r, p)...)
	return append(errs, checkResourceClaims(r.Claims, claims, p.Child("claims"))...)
}

func checkContainerQuantity(n corev1.ResourceName, q resource.Quantity, p *field.Path) field.ErrorList {
	errs := checkContainerResourceName(n, p)
	if q.Sign() < 0 || isIntegerResource(n) {
		errs = append(errs, CheckQuantity(n, q, p.Key(string(n)))...)
	}
	return errs
}

func checkRequest(n corev1.ResourceName, q resource.Quantity, limits corev1.ResourceList, requests, p *field.Path) field.ErrorList {
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

func checkHugePages(r *corev1.ResourceRequirements, p *field.Path) field.ErrorList {
	huge, usual := false, false
	for _, l := range []corev1.ResourceList{r.Limits, r.Requests} {
		for n := range l {
			huge = huge || isHugePages(n)
			usual = usual || n == corev1.ResourceCPU || n == corev1.ResourceMemory
		}
	}
	if huge && !usual {
		return field.ErrorList{field.Forbidden(p, "HugePages require cpu or memory")}
	}
	return nil
}

func checkResourceClaims(used []corev1.ResourceClaim, known []corev1.PodResourceClaim, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.ResourceClaim]bool{}
	for i, c := range used {
		if c.Name == "" {
			errs = append(errs, field.Required(p.Index(i), ""))
			continue
		}
		if seen[c] {
			errs = append(errs, field.Duplicate(p.Index(i), c.Name))
		}
		seen[c] = true
		found := false
		for k := range known {
			found = found || known[k].Name == c.Name
		}
		if !found {
			errs = append(errs, field.NotFound(p.Index(i), c.Name))
		}
	}
	return errs
}
