package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// LimitRanges is the kind LimitRange: the bounds of resources of one pod, container or claim in a namespace.
var LimitRanges = &api.Kind{
	GroupVersionKind: api.GVK("", "v1", "LimitRange"),
	Plural:           "limitranges", Singular: "limitrange", Short: []string{"limits"}, Namespaced: true,
	New:     func() api.Object { return &corev1.LimitRange{} },
	NewList: func() runtime.Object { return &corev1.LimitRangeList{} },

	Default: rules.Mutate(func(l *corev1.LimitRange) {
		for i := range l.Spec.Limits {
			defaultLimitRangeItem(&l.Spec.Limits[i])
		}
	}),
	Validate:       rules.Typed(validateLimitRange),
	ValidateUpdate: rules.ValidateUpdate(validateLimitRange),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.CreatedAtColumn},
	Row:     rules.Typed(func(l *corev1.LimitRange) []any { return []any{l.Name, rules.CreatedAt(&l.ObjectMeta)} }),
}

// defaultLimitRangeItem sets default to max, and defaultRequest to default or min.
func defaultLimitRangeItem(item *corev1.LimitRangeItem) {
	if item.Type != corev1.LimitTypeContainer {
		return
	}
	fill := func(to *corev1.ResourceList, from corev1.ResourceList) {
		if *to == nil {
			*to = corev1.ResourceList{}
		}
		for n, q := range from {
			if _, ok := (*to)[n]; !ok {
				(*to)[n] = q.DeepCopy()
			}
		}
	}
	fill(&item.Default, item.Max)
	fill(&item.DefaultRequest, item.Default)
	fill(&item.DefaultRequest, item.Min)
}

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	errs := rules.ValidateObjectMeta(&l.ObjectMeta, true, rules.DNSSubdomain)
	seen := map[corev1.LimitType]bool{}
	for i := range l.Spec.Limits {
		item, p := &l.Spec.Limits[i], rules.SpecPath.Child("limits").Index(i)
		errs = append(errs, rules.Unique(seen, item.Type, p.Child("type"), item.Type)...)
		errs = append(errs, validateLimitRangeItem(item, p)...)
	}
	return errs
}

func validateLimitRangeItem(item *corev1.LimitRangeItem, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, list := range map[string]corev1.ResourceList{
		"max": item.Max, "min": item.Min, "default": item.Default, "defaultRequest": item.DefaultRequest, "maxLimitRequestRatio": item.MaxLimitRequestRatio,
	} {
		for n, q := range list {
			errs = append(errs, podrules.ValidateResourceName(n, p.Child(name))...)
			errs = append(errs, podrules.ValidateResourceQuantityValue(n, q, p.Child(name).Key(string(n)))...)
		}
	}
	if item.Type == corev1.LimitTypePod {
		for name, list := range map[string]corev1.ResourceList{"default": item.Default, "defaultRequest": item.DefaultRequest} {
			if len(list) > 0 {
				errs = append(errs, field.Forbidden(p.Child(name), "may not be specified when `type` is 'Pod'"))
			}
		}
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, min := item.Min[corev1.ResourceStorage]
		_, max := item.Max[corev1.ResourceStorage]
		if !min && !max {
			errs = append(errs, field.Required(p.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	return append(errs, validateLimitOrder(item, p)...)
}

// validateLimitOrder validates min <= defaultRequest <= default <= max.
func validateLimitOrder(item *corev1.LimitRangeItem, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	order := func(low, high corev1.ResourceList, at, lowName, highName string, badHigh bool) {
		for n, l := range low {
			h, ok := high[n]
			if ok && l.Cmp(h) > 0 {
				bad := l.String()
				if badHigh {
					bad = h.String()
				}
				errs = append(errs, field.Invalid(p.Child(at).Key(string(n)), bad,
					fmt.Sprintf("%s value %s is greater than %s value %s", lowName, l.String(), highName, h.String())))
			}
		}
	}
	order(item.Min, item.Max, "min", "min", "max", false)
	order(item.Min, item.DefaultRequest, "defaultRequest", "min", "default request", true)
	order(item.DefaultRequest, item.Max, "defaultRequest", "default request", "max", false)
	order(item.DefaultRequest, item.Default, "defaultRequest", "default request", "default limit", false)
	order(item.Min, item.Default, "default", "min", "default", true)
	order(item.Default, item.Max, "default", "default", "max", false)
	for n, ratio := range item.MaxLimitRequestRatio {
		if ratio.Cmp(resource.MustParse("1")) < 0 {
			errs = append(errs, field.Invalid(p.Child("maxLimitRequestRatio").Key(string(n)), ratio.String(),
				fmt.Sprintf("ratio %s is less than 1", ratio.String())))
		}
	}
	return errs
}
