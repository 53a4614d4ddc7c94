package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func validateResourceQuota(q *corev1.ResourceQuota) field.ErrorList {
	s := &q.Spec
	errs := validateQuotaResources(s.Hard, rules.SpecPath.Child("hard"))
	p := rules.SpecPath.Child("scopes")
	for _, scope := range s.Scopes {
		errs = append(errs, validateQuotaScope(scope, s.Hard, field.Invalid(p, s.Scopes, "unsupported scope"), field.Invalid(p, s.Scopes, "unsupported scope applied to resource"))...)
	}
	if conflictingScopes(s.Scopes) {
		errs = append(errs, field.Invalid(p, s.Scopes, "conflicting scopes"))
	}
	return append(errs, validateScopeSelector(s)...)
}

func validateQuotaResources(l corev1.ResourceList, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, n := range slices.Sorted(maps.Keys(l)) {
		at := p.Key(string(n))
		errs = append(errs, podrules.ValidateResourceName(n, at)...)
		if !podrules.HasSlash(string(n)) && (!podrules.IsStandardResourceName(n) || n == corev1.ResourceStorage) {
			errs = append(errs, field.Invalid(at, n, "must be a standard resource for quota"))
		}
		errs = append(errs, podrules.ValidateResourceQuantityValue(n, l[n], at)...)
	}
	return errs
}

// validateQuotaScope reports resources that a scope does not apply to.
func validateQuotaScope(scope corev1.ResourceQuotaScope, hard corev1.ResourceList, unsupported, unsupportedResource *field.Error) field.ErrorList {
	var errs field.ErrorList
	applies := func(corev1.ResourceName) bool { return true }
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort:
		applies = func(n corev1.ResourceName) bool { return n == corev1.ResourcePods }
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeNotBestEffort,
		corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		applies = isPodQuotaResource
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		applies = func(n corev1.ResourceName) bool {
			return n == corev1.ResourcePersistentVolumeClaims || n == corev1.ResourceRequestsStorage
		}
	default:
		errs = append(errs, unsupported)
	}
	for n := range hard {
		if !podrules.HasSlash(string(n)) && podrules.IsStandardResourceName(n) && !applies(n) {
			errs = append(errs, unsupportedResource)
		}
	}
	return errs
}

func isPodQuotaResource(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory:
		return true
	}
	return false
}

func conflictingScopes(scopes []corev1.ResourceQuotaScope) bool {
	both := func(a, b corev1.ResourceQuotaScope) bool {
		return slices.Contains(scopes, a) && slices.Contains(scopes, b)
	}
	return both(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort) ||
		both(corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating)
}

// sorted returns the scopes sorted, without duplicates.
func sorted(scopes []corev1.ResourceQuotaScope) []corev1.ResourceQuotaScope {
	return slices.Compact(slices.Sorted(slices.Values(scopes)))
}

func validateScopeSelector(s *corev1.ResourceQuotaSpec) field.ErrorList {
	if s.ScopeSelector == nil {
		return nil
	}
	var errs field.ErrorList
	var scopes []corev1.ResourceQuotaScope
	p := rules.SpecPath.Child("scopeSelector", "matchExpressions")
	for _, r := range s.ScopeSelector.MatchExpressions {
		scopes = append(scopes, r.ScopeName)
		errs = append(errs, validateQuotaScope(r.ScopeName, s.Hard, field.Invalid(p.Child("scopeName"), r.ScopeName, "unsupported scope"),
			field.Invalid(p, s.ScopeSelector, "unsupported scope applied to resource"))...)
		switch r.ScopeName {
		case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
			corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			if r.Operator != corev1.ScopeSelectorOpExists {
				errs = append(errs, field.Invalid(p.Child("operator"), r.Operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "+
					"ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
			}
		}
		errs = append(errs, validateScopeValues(r, p)...)
	}
	if conflictingScopes(scopes) {
		errs = append(errs, field.Invalid(p, s.Scopes, "conflicting scopes"))
	}
	return errs
}

func validateScopeValues(r corev1.ScopedResourceSelectorRequirement, p *field.Path) field.ErrorList {
	switch r.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(r.Values) == 0 {
			return field.ErrorList{field.Required(p.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")}
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(r.Values) != 0 {
			return field.ErrorList{field.Invalid(p.Child("values"), r.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")}
		}
	default:
		return field.ErrorList{field.Invalid(p.Child("operator"), r.Operator, "not a valid selector operator")}
	}
	return nil
}
