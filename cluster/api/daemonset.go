package api

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DaemonSets keeps a pod on every node that fits.
var DaemonSets = &Kind{
	GroupVersionKind: gvk(appsv1.GroupName, "v1", "DaemonSet"),
	Plural:           "daemonsets", Singular: "daemonset",
	Short: []string{"ds"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &appsv1.DaemonSet{} },
	NewList:   func() runtime.Object { return &appsv1.DaemonSetList{} },

	Default: do(defaultDaemonSet),
	PrepareCreate: do(func(d *appsv1.DaemonSet) {
		d.Status = appsv1.DaemonSetStatus{}
		d.Generation = 1
		countTemplate(d, max(1, generationOfTemplate(d)))
	}),
	PrepareUpdate: do2(func(d, old *appsv1.DaemonSet) {
		d.Status = old.Status
		d.Generation = nextGeneration(old, d.Spec, old.Spec)
		n := generationOfTemplate(old)
		if !same(d.Spec.Template, old.Spec.Template) {
			n++
		}
		countTemplate(d, n)
	}),
	PrepareStatus: do2(func(d, old *appsv1.DaemonSet) {
		d.Spec = old.Spec
		d.Generation = old.Generation
	}),

	Validate: as(func(d *appsv1.DaemonSet) field.ErrorList {
		return append(checkMeta(&d.ObjectMeta, true, dnsSubdomain), checkDaemonSet(&d.Spec)...)
	}),
	ValidateUpdate: as2(func(d, old *appsv1.DaemonSet) field.ErrorList {
		errs := append(checkMetaUpdate(&d.ObjectMeta, &old.ObjectMeta), checkDaemonSet(&d.Spec)...)
		return append(errs, immutable(d.Spec.Selector, old.Spec.Selector, specPath.Child("selector"))...)
	}),
	ValidateStatus: as2(checkDaemonSetStatus),

	Warn: as(func(d *appsv1.DaemonSet) []string { return warnOfTemplate(&d.Spec.Template) }),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Desired", "integer", 0, "Nodes that shall run the pod."),
		col("Current", "integer", 0, "Nodes that run a pod and shall."),
		col("Ready", "integer", 0, "Nodes with a pod that is ready."),
		col("Up-to-date", "integer", 0, "Nodes with a pod of the newest template."),
		col("Available", "integer", 0, "Nodes with a pod that has been ready for long enough."),
		col("Node Selector", "string", 0, "Which nodes shall run the pod."),
		ageColumn,
		containersColumn,
		imagesColumn,
		selectorColumn,
	},
	Row: as(func(d *appsv1.DaemonSet) []any {
		names, images := containerNames(d.Spec.Template.Spec.Containers)
		return []any{
			d.Name, int64(d.Status.DesiredNumberScheduled), int64(d.Status.CurrentNumberScheduled), int64(d.Status.NumberReady),
			int64(d.Status.UpdatedNumberScheduled), int64(d.Status.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector),
			age(d.CreationTimestamp), names, images, metav1.FormatLabelSelector(d.Spec.Selector),
		}
	}),
}

// templateGeneration is the annotation with the number of a DaemonSet's template, which
// its first version had in a field; its pods carry it as a label.
const templateGeneration = appsv1.DeprecatedTemplateGeneration

func generationOfTemplate(d *appsv1.DaemonSet) int64 {
	n, _ := strconv.ParseInt(d.Annotations[templateGeneration], 10, 64)
	return n
}

func countTemplate(d *appsv1.DaemonSet, n int64) {
	annotate(&d.ObjectMeta, templateGeneration, strconv.FormatInt(n, 10))
}

func defaultDaemonSet(d *appsv1.DaemonSet) {
	defaultPodSpec(&d.Spec.Template.Spec)
	s := &d.Spec.UpdateStrategy
	setDefault(&s.Type, appsv1.RollingUpdateDaemonSetStrategyType)
	if s.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		if s.RollingUpdate == nil {
			s.RollingUpdate = &appsv1.RollingUpdateDaemonSet{}
		}
		setDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		setDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	setDefaultPtr(&d.Spec.RevisionHistoryLimit, 10)
}

func checkDaemonSet(s *appsv1.DaemonSetSpec) field.ErrorList {
	at, p := specPath.Child("selector"), specPath.Child("template")
	errs := checkSelector(s.Selector, at)
	// None at all chooses no pods, and so not the template's.
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !selector.Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(p.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	if s.Selector != nil && len(s.Selector.MatchLabels)+len(s.Selector.MatchExpressions) == 0 {
		errs = append(errs, field.Invalid(at, s.Selector, "empty selector is invalid for daemonset"))
	}
	errs = append(errs, checkPodTemplate(&s.Template, p)...)
	errs = append(errs, checkRestartsAlways(&s.Template, "DaemonSet", p)...)
	errs = append(errs, nonnegative(int64(s.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	errs = append(errs, checkDaemonStrategy(&s.UpdateStrategy, specPath.Child("updateStrategy"))...)
	return append(errs, nonnegativePtr(s.RevisionHistoryLimit, specPath.Child("revisionHistoryLimit"))...)
}

func checkDaemonStrategy(s *appsv1.DaemonSetUpdateStrategy, p *field.Path) field.ErrorList {
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
	errs := checkCountOrPercent(unavailable, atUnavailable)
	errs = append(errs, checkCountOrPercent(surge, atSurge)...)
	errs = append(errs, checkWithin100Percent(unavailable, atUnavailable)...)
	errs = append(errs, checkWithin100Percent(surge, atSurge)...)
	switch {
	case !isZeroCount(unavailable) && !isZeroCount(surge):
		errs = append(errs, field.Invalid(atSurge, surge, "may not be set when maxUnavailable is non-zero"))
	case isZeroCount(unavailable) && isZeroCount(surge):
		errs = append(errs, field.Required(atUnavailable, "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func checkDaemonSetStatus(d, old *appsv1.DaemonSet) field.ErrorList {
	errs := checkMetaUpdate(&d.ObjectMeta, &old.ObjectMeta)
	s := &d.Status
	for _, n := range []count{
		{"currentNumberScheduled", int64(s.CurrentNumberScheduled)},
		{"numberMisscheduled", int64(s.NumberMisscheduled)},
		{"desiredNumberScheduled", int64(s.DesiredNumberScheduled)},
		{"numberReady", int64(s.NumberReady)},
		{"observedGeneration", s.ObservedGeneration},
		{"updatedNumberScheduled", int64(s.UpdatedNumberScheduled)},
		{"numberAvailable", int64(s.NumberAvailable)},
		{"numberUnavailable", int64(s.NumberUnavailable)},
	} {
		errs = append(errs, nonnegative(n.value, statusPath.Child(n.name))...)
	}
	errs = append(errs, nonnegativePtr(s.CollisionCount, statusPath.Child("collisionCount"))...)
	return append(errs, checkCollisions(s.CollisionCount, old.Status.CollisionCount)...)
}
