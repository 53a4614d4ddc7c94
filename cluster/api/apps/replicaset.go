package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// ReplicaSets is the kind ReplicaSet: a number of equal pods, with a set-based selector.
var ReplicaSets = rules.SpecAndStatus(api.Of[appsv1.ReplicaSet, appsv1.ReplicaSetList](&api.Kind{
	GroupVersionKind: api.GVK(appsv1.GroupName, "v1", "ReplicaSet"),
	Plural:           "replicasets", Singular: "replicaset",
	Short: []string{"rs"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &api.Scale{
		Get: rules.Typed(func(rs *appsv1.ReplicaSet) api.ScaleValues {
			return api.ScaleValues{Spec: ptr.Deref(rs.Spec.Replicas, 1), Status: rs.Status.Replicas, Selector: selectorString(rs.Spec.Selector)}
		}),
		Set: func(o api.Object, n int32) { o.(*appsv1.ReplicaSet).Spec.Replicas = &n },
	},
	Versions: []api.Version{ReplicaSetsV1beta2, ReplicaSetsExtensions},

	Default: rules.Mutate(func(rs *appsv1.ReplicaSet) {
		rules.SetDefaultPtr(&rs.Spec.Replicas, 1)
		podrules.DefaultPodSpec(&rs.Spec.Template.Spec)
	}),

	Validate: rules.Validate(true, rules.DNSSubdomain, validateReplicaSet),
	ValidateUpdate: rules.ValidateUpdate(validateReplicaSet, func(rs, old *appsv1.ReplicaSet) field.ErrorList {
		return rules.Immutable(rs.Spec.Selector, old.Spec.Selector, rules.SpecPath.Child("selector"))
	}),
	ValidateStatus: rules.ValidateUpdate(validateReplicaSetStatus),

	Warn: rules.Typed(func(rs *appsv1.ReplicaSet) []string {
		return podrules.WarningsForNamedTemplate(rs.Name, &rs.Spec.Template)
	}),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Desired", "integer", 0, rules.Doc(appsv1.ReplicaSetSpec{}, "replicas")),
		rules.Column("Current", "integer", 0, rules.Doc(appsv1.ReplicaSetStatus{}, "replicas")),
		rules.Column("Ready", "integer", 0, rules.Doc(appsv1.ReplicaSetStatus{}, "readyReplicas")),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(appsv1.ReplicaSetSpec{}, "selector"))...),
	Row: rules.Typed(func(rs *appsv1.ReplicaSet) []any {
		names, images := podrules.ContainerCells(rs.Spec.Template.Spec.Containers)
		return []any{
			rs.Name, int64(ptr.Deref(rs.Spec.Replicas, 1)), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas), rules.Age(rs.CreationTimestamp),
			names, images, metav1.FormatLabelSelector(rs.Spec.Selector),
		}
	}),
}), func(o *appsv1.ReplicaSet) (*appsv1.ReplicaSetSpec, *appsv1.ReplicaSetStatus) {
	return &o.Spec, &o.Status
})

// selectorString returns a selector in the syntax of queries, "" for one that selects nothing.
func selectorString(s *metav1.LabelSelector) string {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		selector = labels.Nothing()
	}
	return selector.String()
}

// validateSetSelector validates a selector, which must be set and must not be empty. It returns nil for one that
// cannot be parsed.
func validateSetSelector(s *metav1.LabelSelector, emptyMessage string) (labels.Selector, field.ErrorList) {
	p := rules.SpecPath.Child("selector")
	var errs field.ErrorList
	if s == nil {
		errs = append(errs, field.Required(p, ""))
	} else {
		errs = append(errs, podrules.ValidateLabelSelector(s, p)...)
		if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(p, s, emptyMessage))
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, errs
	}
	return selector, errs
}

func validateReplicaSet(rs *appsv1.ReplicaSet) field.ErrorList {
	s := &rs.Spec
	errs := rules.NonNegative(int64(ptr.Deref(s.Replicas, 1)), rules.SpecPath.Child("replicas"))
	errs = append(errs, rules.NonNegative(int64(s.MinReadySeconds), rules.SpecPath.Child("minReadySeconds"))...)
	return append(errs, validateSelectorAndTemplate(s.Selector, &s.Template)...)
}

// validateSelectorAndTemplate validates the selector and template of a ReplicaSet or Deployment. As upstream the
// texts are a Deployment's for both.
func validateSelectorAndTemplate(s *metav1.LabelSelector, t *corev1.PodTemplateSpec) field.ErrorList {
	selector, errs := validateSetSelector(s, "empty selector is invalid for deployment")
	if selector == nil {
		return append(errs, field.Invalid(rules.SpecPath.Child("selector"), s, "invalid label selector"))
	}
	p := rules.SpecPath.Child("template")
	errs = append(errs, podrules.ValidateSelectorMatchesTemplate(selector, t, p)...)
	return append(errs, podrules.ValidateReplicaTemplate(t, "ReplicaSet", p)...)
}

func validateReplicaSetStatus(rs *appsv1.ReplicaSet) field.ErrorList {
	s := &rs.Status
	errs := core.ValidateReplicaStatus(&corev1.ReplicationControllerStatus{
		Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
		AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration,
	})
	return append(errs, rules.NonNegativePtr(s.TerminatingReplicas, rules.StatusPath.Child("terminatingReplicas"))...)
}
