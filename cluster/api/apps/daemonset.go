package apps

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// DaemonSets is the kind DaemonSet: a pod on each matching node.
var DaemonSets = api.Of[appsv1.DaemonSet, appsv1.DaemonSetList](&api.Kind{
	GroupVersionKind: api.GVK(appsv1.GroupName, "v1", "DaemonSet"),
	Plural:           "daemonsets", Singular: "daemonset",
	Short: []string{"ds"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Versions:  []api.Version{DaemonSetsV1beta2, DaemonSetsExtensions},

	Default: rules.Mutate(defaultDaemonSet),
	PrepareCreate: rules.Mutate(func(d *appsv1.DaemonSet) {
		d.Status = appsv1.DaemonSetStatus{}
		d.Generation = 1
		setTemplateGeneration(d, max(1, templateGeneration(d)))
	}),
	PrepareUpdate: rules.MutateUpdate(func(d, old *appsv1.DaemonSet) {
		d.Status = old.Status
		d.Generation = rules.NextGeneration(old, d.Spec, old.Spec)
		n := templateGeneration(old)
		if !rules.Equal(d.Spec.Template, old.Spec.Template) {
			n++
		}
		setTemplateGeneration(d, n)
	}),
	PrepareStatus: rules.MutateUpdate(func(d, old *appsv1.DaemonSet) {
		d.Spec = old.Spec
		d.Generation = old.Generation
	}),

	Validate: rules.Validate(true, rules.DNSSubdomain, validateDaemonSet),
	ValidateUpdate: rules.TypedUpdate(func(d, old *appsv1.DaemonSet) field.ErrorList {
		errs := append(rules.ValidateObjectMetaUpdate(&d.ObjectMeta, &old.ObjectMeta),
			rules.Immutable(d.Spec.Selector, old.Spec.Selector, rules.SpecPath.Child("selector"))...)
		return append(errs, validateDaemonSet(d)...)
	}),
	ValidateStatus: rules.TypedUpdate(validateDaemonSetStatus),

	Warn: rules.Typed(func(d *appsv1.DaemonSet) []string {
		return podrules.WarningsForTemplate(&d.Spec.Template, rules.SpecPath.Child("template"))
	}),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Desired", "integer", 0, rules.Doc(appsv1.DaemonSetStatus{}, "desiredNumberScheduled")),
		rules.Column("Current", "integer", 0, rules.Doc(appsv1.DaemonSetStatus{}, "currentNumberScheduled")),
		rules.Column("Ready", "integer", 0, rules.Doc(appsv1.DaemonSetStatus{}, "numberReady")),
		rules.Column("Up-to-date", "integer", 0, rules.Doc(appsv1.DaemonSetStatus{}, "updatedNumberScheduled")),
		rules.Column("Available", "integer", 0, rules.Doc(appsv1.DaemonSetStatus{}, "numberAvailable")),
		rules.Column("Node Selector", "string", 0, "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's labels for the pod to be scheduled on "+
			"that node. More info: https://kubernetes.io/docs/concepts/configuration/assign-pod-node/"),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(appsv1.DaemonSetSpec{}, "selector"))...),
	Row: rules.Typed(func(d *appsv1.DaemonSet) []any {
		names, images := podrules.ContainerCells(d.Spec.Template.Spec.Containers)
		return []any{
			d.Name, int64(d.Status.DesiredNumberScheduled), int64(d.Status.CurrentNumberScheduled), int64(d.Status.NumberReady),
			int64(d.Status.UpdatedNumberScheduled), int64(d.Status.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector),
			rules.Age(d.CreationTimestamp), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
		}
	}),
})

// templateGeneration returns the number of a DaemonSet's template, from the annotation that replaces the field
// of the first version. The pods have it as a label.
func templateGeneration(d *appsv1.DaemonSet) int64 {
	n, _ := strconv.ParseInt(d.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	return n
}

func setTemplateGeneration(d *appsv1.DaemonSet, n int64) {
	rules.SetAnnotation(&d.ObjectMeta, appsv1.DeprecatedTemplateGeneration, strconv.FormatInt(n, 10))
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	if _, ok := d.Annotations[appsv1.DeprecatedTemplateGeneration]; !ok {
		setTemplateGeneration(d, 0) // whoever writes the DaemonSet owns it, as upstream
	}
	podrules.DefaultPodSpec(&d.Spec.Template.Spec)
	s := &d.Spec.UpdateStrategy
	rules.SetDefault(&s.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if s.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if s.RollingUpdate == nil {
			s.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		rules.SetDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		rules.SetDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	rules.SetDefaultPtr(&d.Spec.RevisionHistoryLimit, 10)
}

func validateDaemonSet(ds *appsv1.DaemonSet) field.ErrorList {
	s := &ds.Spec
	at, p := rules.SpecPath.Child("selector"), rules.SpecPath.Child("template")
	errs := podrules.ValidateLabelSelector(s.Selector, at)
	// A missing selector matches no pods, not even the template's.
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !selector.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(p.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	if s.Selector != nil && len(s.Selector.MatchLabels)+len(s.Selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, s.Selector, "empty selector is invalid for daemonset"))
	}
	errs = append(errs, podrules.ValidatePodTemplateSpec(&s.Template, p)...)
	errs = append(errs, podrules.ValidateRestartPolicyAlways(&s.Template, "DaemonSet", p)...)
	errs = append(errs, rules.NonNegative(int64(s.MinReadySeconds), rules.SpecPath.Child("minReadySeconds"))...)
	errs = append(errs, validateDaemonSetUpdateStrategy(&s.UpdateStrategy, rules.SpecPath.Child("updateStrategy"))...)
	return append(errs, rules.NonNegativePtr(s.RevisionHistoryLimit, rules.SpecPath.Child("revisionHistoryLimit"))...)
}

func validateDaemonSetUpdateStrategy(s *appsv1.DaemonSetUpdateStrategy, p *field.Path) field.ErrorList {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
		return nil
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil || s.RollingUpdate.MaxUnavailable == nil || s.RollingUpdate.MaxSurge == nil {
			return field.ErrorList{field.Required(p.Child("rollingUpdate"), "")}
		}
	default:
		return field.ErrorList{field.NotSupported(p, s,
			[]appsv1.DaemonSetUpdateStrategyType{appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType})}
	}
	unavailable, surge := *s.RollingUpdate.MaxUnavailable, *s.RollingUpdate.MaxSurge
	atUnavailable, atSurge := p.Child("rollingUpdate", "maxUnavailable"), p.Child("rollingUpdate", "maxSurge")
	errs := rules.ValidatePositiveIntOrPercent(unavailable, atUnavailable)
	errs = append(errs, rules.ValidatePositiveIntOrPercent(surge, atSurge)...)
	errs = append(errs, rules.IsNotMoreThan100Percent(unavailable, atUnavailable)...)
	errs = append(errs, rules.IsNotMoreThan100Percent(surge, atSurge)...)
	switch {
	case !rules.IsZeroIntOrPercent(unavailable) && !rules.IsZeroIntOrPercent(surge):
		errs = append(errs, field.Invalid(atSurge, surge, "may not be set when maxUnavailable is non-zero"))
	case rules.IsZeroIntOrPercent(unavailable) && rules.IsZeroIntOrPercent(surge):
		errs = append(errs, field.Required(atUnavailable, "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&d.ObjectMeta, &old.ObjectMeta)
	s := &d.Status
	errs = append(errs, rules.NonNegativeCounts(
		rules.Count("currentNumberScheduled", s.CurrentNumberScheduled),
		rules.Count("numberMisscheduled", s.NumberMisscheduled),
		rules.Count("desiredNumberScheduled", s.DesiredNumberScheduled),
		rules.Count("numberReady", s.NumberReady),
		rules.Count("observedGeneration", s.ObservedGeneration),
		rules.Count("updatedNumberScheduled", s.UpdatedNumberScheduled),
		rules.Count("numberAvailable", s.NumberAvailable),
		rules.Count("numberUnavailable", s.NumberUnavailable),
	)...)
	errs = append(errs, rules.NonNegativePtr(s.CollisionCount, rules.StatusPath.Child("collisionCount"))...)
	return append(errs, validateCollisionCount(s.CollisionCount, old.Status.CollisionCount)...)
}
