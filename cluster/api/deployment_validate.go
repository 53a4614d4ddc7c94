package api

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func checkDeployment(s *appsv1.DeploymentSpec) field.ErrorList {
	errs := nonnegative(int64(replicas(s.Replicas)), specPath.Child("replicas"))
	errs = append(errs, checkReplacedPods(s.Selector, &s.Template)...)
	errs = append(errs, checkDeploymentStrategy(&s.Strategy, specPath.Child("strategy"))...)
	errs = append(errs, nonnegative(int64(s.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	errs = append(errs, nonnegativePtr(s.RevisionHistoryLimit, specPath.Child("revisionHistoryLimit"))...)
	if d := s.ProgressDeadlineSeconds; d != nil {
		p := specPath.Child("progressDeadlineSeconds")
		errs = append(errs, nonnegative(int64(*d), p)...)
		if *d <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(p, *d, "must be greater than minReadySeconds"))
		}
	}
	return errs
}

func checkDeploymentStrategy(s *appsv1.DeploymentStrategy, p *field.Path) field.ErrorList {
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
	errs := checkCountOrPercent(unavailable, at)
	errs = append(errs, checkCountOrPercent(surge, rolling.Child("maxSurge"))...)
	if isZeroCount(unavailable) && isZeroCount(surge) {
		errs = append(errs, field.Invalid(at, unavailable, "may not be 0 when `maxSurge` is 0"))
	}
	return append(errs, checkWithin100Percent(unavailable, at)...)
}

func nonnegativePtr(v *int32, p *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	return nonnegative(int64(*v), p)
}

// checkCountOrPercent: a number of pods, or a part of them such as "25%".
func checkCountOrPercent(v intstr.IntOrString, p *field.Path) field.ErrorList {
	switch v.Type {
	case intstr.String:
		return invalid(p, v, validation.IsValidPercent(v.StrVal))
	case intstr.Int:
		return nonnegative(int64(v.IntValue()), p)
	}
	return field.ErrorList{field.Invalid(p, v, "must be an integer or percentage (e.g '5%%')")}
}

func checkWithin100Percent(v intstr.IntOrString, p *field.Path) field.ErrorList {
	if n, ok := percentOf(v); ok && n > 100 {
		return field.ErrorList{field.Invalid(p, v, "must not be greater than 100%")}
	}
	return nil
}

func percentOf(v intstr.IntOrString) (n int, ok bool) {
	if v.Type != intstr.String || len(validation.IsValidPercent(v.StrVal)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(v.StrVal[:len(v.StrVal)-1])
	return n, err == nil
}

func isZeroCount(v intstr.IntOrString) bool {
	if n, ok := percentOf(v); ok {
		return n == 0
	}
	return v.IntValue() == 0
}

func checkDeploymentStatus(d, old *appsv1.Deployment) field.ErrorList {
	errs := checkMetaUpdate(&d.ObjectMeta, &old.ObjectMeta)
	s := &d.Status
	for _, n := range []count{
		{"observedGeneration", s.ObservedGeneration},
		{"replicas", int64(s.Replicas)},
		{"updatedReplicas", int64(s.UpdatedReplicas)},
		{"readyReplicas", int64(s.ReadyReplicas)},
		{"availableReplicas", int64(s.AvailableReplicas)},
		{"unavailableReplicas", int64(s.UnavailableReplicas)},
	} {
		errs = append(errs, nonnegative(n.value, statusPath.Child(n.name))...)
	}
	errs = append(errs, nonnegativePtr(s.CollisionCount, statusPath.Child("collisionCount"))...)
	errs = append(errs, notAbove(s.Replicas, "cannot be greater than status.replicas",
		count{"updatedReplicas", int64(s.UpdatedReplicas)}, count{"readyReplicas", int64(s.ReadyReplicas)},
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	errs = append(errs, notAbove(s.ReadyReplicas, "cannot be greater than readyReplicas",
		count{"availableReplicas", int64(s.AvailableReplicas)})...)
	return append(errs, checkCollisions(s.CollisionCount, old.Status.CollisionCount)...)
}

// count is a number in a status, by its field's name.
type count struct {
	name  string
	value int64
}

func notAbove(most int32, message string, counts ...count) field.ErrorList {
	var errs field.ErrorList
	for _, n := range counts {
		if n.value > int64(most) {
			errs = append(errs, field.Invalid(statusPath.Child(n.name), n.value, message))
		}
	}
	return errs
}

// checkCollisions: a name that was taken stays taken, so the count of those only grows.
func checkCollisions(is, was *int32) field.ErrorList {
	v := int32(0)
	if is != nil {
		v = *is
	}
	if was == nil || v >= *was && is != nil {
		return nil
	}
	return field.ErrorList{field.Invalid(statusPath.Child("collisionCount"), v, "cannot be decremented")}
}
