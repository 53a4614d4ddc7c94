package core

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// LimitRanges is the kind LimitRange: the bounds of resources of one pod, container or claim in a namespace.
var LimitRanges = api.Of[corev1.LimitRange, corev1.LimitRangeList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "LimitRange"),
	Plural:           "limitranges", Singular: "limitrange", Short: []string{"limits"}, Namespaced: true,

	Default: rules.Mutate(func(l *corev1.LimitRange) {
		for i := range l.Spec.Limits {
			defaultLimitRangeItem(&l.Spec.Limits[i])
		}
	}),
	PrepareCreate: rules.Mutate(func(l *corev1.LimitRange) {
		if l.Name == "" { // as upstream, for this kind alone
			l.Name = string(uuid.NewUUID())
		}
	}),
	Validate:       rules.Typed(validateLimitRange),
	ValidateUpdate: rules.ValidateUpdate(validateLimitRange),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.CreatedAtColumn},
	Row:     rules.Typed(func(l *corev1.LimitRange) []any { return []any{l.Name, rules.CreatedAt(&l.ObjectMeta)} }),
})

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
		errs = append(errs, validateLimitType(item.Type, p.Child("type"))...)
		errs = append(errs, rules.Unique(seen, item.Type, p.Child("type"), item.Type)...)
		errs = append(errs, validateLimitRangeItem(item, p)...)
	}
	return errs
}

func validateLimitType(t corev1.LimitType, p *field.Path) field.ErrorList {
	if errs := rules.Invalid(p, t, validation.IsQualifiedName(string(t))); len(errs) > 0 {
		return errs
	}
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
		return nil
	}
	if !podrules.HasSlash(string(t)) {
		return field.ErrorList{field.Invalid(p, t, "must be a standard limit type or fully qualified")}
	}
	return nil
}

func validateLimitRangeItem(item *corev1.LimitRangeItem, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[corev1.ResourceName]bool{}
	of := func(list corev1.ResourceList, name string) {
		for _, n := range slices.Sorted(maps.Keys(list)) {
			names[n] = true
			if at := p.Child(name).Key(string(n)); item.Type == corev1.LimitTypePod || item.Type == corev1.LimitTypeContainer {
				errs = append(errs, podrules.ValidateContainerResourceName(n, at)...)
			} else {
				errs = append(errs, podrules.ValidateResourceName(n, at)...)
			}
		}
	}
	of(item.Max, "max")
	of(item.Min, "min")
	if item.Type == corev1.LimitTypePod {
		if len(item.Default) > 0 {
			errs = append(errs, field.Forbidden(p.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(item.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(p.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
		}
	} else {
		of(item.Default, "default")
		of(item.DefaultRequest, "defaultRequest")
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, min := item.Min[corev1.ResourceStorage]
		_, max := item.Max[corev1.ResourceStorage]
		if !min && !max {
			errs = append(errs, field.Required(p.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	of(item.MaxLimitRequestRatio, "maxLimitRequestRatio")
	for _, n := range slices.Sorted(maps.Keys(names)) {
		errs = append(errs, validateLimitOrder(item, n, p)...)
	}
	return errs
}

// validateLimitOrder validates, for one resource, min <= defaultRequest <= default <= max, and the ratio.
func validateLimitOrder(item *corev1.LimitRangeItem, n corev1.ResourceName, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	low := func(low, high corev1.ResourceList, at, lowName, highName string, shown corev1.ResourceList) {
		l, hasLow := low[n]
		h, hasHigh := high[n]
		if hasLow && hasHigh && l.Cmp(h) > 0 {
			errs = append(errs, field.Invalid(p.Child(at).Key(string(n)), shown[n],
				fmt.Sprintf("%s value %s is greater than %s value %s", lowName, l.String(), highName, h.String())))
		}
	}
	defaults, requests := item.Default, item.DefaultRequest
	if item.Type == corev1.LimitTypePod {
		defaults, requests = nil, nil
	}
	low(item.Min, item.Max, "min", "min", "max", item.Min)
	low(item.Min, requests, "defaultRequest", "min", "default request", requests)
	low(requests, item.Max, "defaultRequest", "default request", "max", requests)
	low(requests, defaults, "defaultRequest", "default request", "default limit", requests)
	low(item.Min, defaults, "default", "min", "default", item.Min)
	low(defaults, item.Max, "default", "default", "max", item.Max)
	errs = append(errs, validateLimitRatio(item, n, p.Child("maxLimitRequestRatio").Key(string(n)))...)
	limit, hasLimit := defaults[n]
	request, hasRequest := requests[n]
	if hasLimit && hasRequest && !podrules.IsOvercommitAllowed(n) && limit.Cmp(request) != 0 {
		errs = append(errs, field.Invalid(p.Child("defaultRequest").Key(string(n)), request,
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), n)))
	}
	return errs
}

// validateLimitRatio validates the ratio, which cannot be above that of max to min.
func validateLimitRatio(item *corev1.LimitRangeItem, n corev1.ResourceName, p *field.Path) field.ErrorList {
	ratio, has := item.MaxLimitRequestRatio[n]
	if !has {
		return nil
	}
	var errs field.ErrorList
	if ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		errs = append(errs, field.Invalid(p, ratio, fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	min, hasMin := item.Min[n]
	max, hasMax := item.Max[n]
	if !hasMin || !hasMax {
		return errs
	}
	value, least, most := float64(ratio.Value()), min.Value(), max.Value()
	if ratio.Value() < resource.MaxMilliValue && least < resource.MaxMilliValue && most < resource.MaxMilliValue {
		value, least, most = float64(ratio.MilliValue())/1000, min.MilliValue(), max.MilliValue()
	}
	if bound := float64(most) / float64(least); value > bound {
		errs = append(errs, field.Invalid(p, ratio, fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), bound)))
	}
	return errs
}
