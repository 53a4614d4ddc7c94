package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	s := &d.Spec
	errs := rules.NonNegative(int64(ptr.Deref(s.Replicas, 1)), rules.SpecPath.Child("replicas"))
	errs = append(errs, validateSelectorAndTemplate(s.Selector, &s.Template)...)
	errs = append(errs, validateDeploymentStrategy(&s.Strategy, rules.SpecPath.Child("strategy"))...)
	errs = append(errs, rules.NonNegative(int64(s.MinReadySeconds), rules.SpecPath.Child("minReadySeconds"))...)
	errs = append(errs, rules.NonNegativePtr(s.RevisionHistoryLimit, rules.SpecPath.Child("revisionHistoryLimit"))...)
	if d := s.ProgressDeadlineSeconds; d != nil {
		p := rules.SpecPath.Child("progressDeadlineSeconds")
		errs = append(errs, rules.NonNegative(int64(*d), p)...)
		if *d <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(p, *d, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func validateDeploymentStrategy(s *appsv1.DeploymentStrategy, p *field.Path) field.ErrorList {
	rolling := p.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'")}
		}
		return nil
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil || s.RollingUpdate.MaxSurge == nil || s.RollingUpdate.MaxUnavailable == nil {
			return field.ErrorList{field.Required(rolling, "this should be defaulted and never be nil")}
		}
	default:
		return field.ErrorList{field.NotSupported(p, s,
			[]appsv1.DeploymentStrategyType{appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType})}
	}
	unavailable, surge := *s.RollingUpdate.MaxUnavailable, *s.RollingUpdate.MaxSurge
	at := rolling.Child("maxUnavailable")
	errs := rules.ValidatePositiveIntOrPercent(unavailable, at)
	errs = append(errs, rules.ValidatePositiveIntOrPercent(surge, rolling.Child("maxSurge"))...)
	if rules.IsZeroIntOrPercent(unavailable) && rules.IsZeroIntOrPercent(surge) {
		errs = append(errs, field.Invalid(at, unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, rules.IsNotMoreThan100Percent(unavailable, at)...)
}

func validateDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&d.ObjectMeta, &old.ObjectMeta)
	s := &d.Status
	errs = append(errs, rules.NonNegativeCounts(
		rules.Count("observedGeneration", s.ObservedGeneration),
		rules.Count("replicas", s.Replicas),
		rules.Count("updatedReplicas", s.UpdatedReplicas),
		rules.Count("readyReplicas", s.ReadyReplicas),
		rules.Count("availableReplicas", s.AvailableReplicas),
		rules.Count("unavailableReplicas", s.UnavailableReplicas),
	)...)
	errs = append(errs, rules.NonNegativePtr(s.TerminatingReplicas, rules.StatusPath.Child("terminatingReplicas"))...)
	errs = append(errs, rules.NonNegativePtr(s.CollisionCount, rules.StatusPath.Child("collisionCount"))...)
	errs = append(errs, rules.NotGreater(s.Replicas, "cannot be greater than status.replicas",
		rules.Count("updatedReplicas", s.UpdatedReplicas), rules.Count("readyReplicas", s.ReadyReplicas),
		rules.Count("availableReplicas", s.AvailableReplicas))...)
	errs = append(errs, rules.NotGreater(s.ReadyReplicas, "cannot be greater than readyReplicas",
		rules.Count("availableReplicas", s.AvailableReplicas))...)
	return append(errs, validateCollisionCount(s.CollisionCount, old.Status.CollisionCount)...)
}

// validateCollisionCount reports a decrease: a name collision is permanent.
func validateCollisionCount(is, was *int32) field.ErrorList {
	v := int32(0)
	if is != nil {
		v = *is
	}
	if was == nil || v >= *was && is != nil {
		return nil
	}
	return field.ErrorList{field.Invalid(rules.StatusPath.Child("collisionCount"), v, "cannot be decremented")}
}
