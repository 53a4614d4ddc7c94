package api

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReplicaSets keeps a number of like pods, as a ReplicationController does, and chooses
// them by a selector with operators.
var ReplicaSets = &Kind{
	GroupVersionKind: gvk(appsv1.GroupName, "v1", "ReplicaSet"),
	Plural:           "replicasets", Singular: "replicaset",
	Short: []string{"rs"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &Scale{
		Get: as(func(rs *appsv1.ReplicaSet) ScaleValues {
			return ScaleValues{Spec: replicas(rs.Spec.Replicas), Status: rs.Status.Replicas, Selector: selectorString(rs.Spec.Selector)}
		}),
		Set: func(o Object, n int32) { o.(*appsv1.ReplicaSet).Spec.Replicas = &n },
	},
	New:     func() Object { return &appsv1.ReplicaSet{} },
	NewList: func() runtime.Object { return &appsv1.ReplicaSetList{} },

	Default: do(func(rs *appsv1.ReplicaSet) {
		setDefaultPtr(&rs.Spec.Replicas, 1)
		defaultPodSpec(&rs.Spec.Template.Spec)
	}),
	PrepareCreate: do(func(rs *appsv1.ReplicaSet) {
		rs.Status = appsv1.ReplicaSetStatus{}
		rs.Generation = 1
	}),
	PrepareUpdate: do2(func(rs, old *appsv1.ReplicaSet) {
		rs.Status = old.Status
		rs.Generation = nextGeneration(old, rs.Spec, old.Spec)
	}),
	PrepareStatus: do2(func(rs, old *appsv1.ReplicaSet) {
		rs.Spec = old.Spec
		rs.Generation = old.Generation
	}),

	Validate: as(func(rs *appsv1.ReplicaSet) field.ErrorList {
		return append(checkMeta(&rs.ObjectMeta, true, dnsSubdomain), checkReplicaSet(&rs.Spec)...)
	}),
	ValidateUpdate: as2(func(rs, old *appsv1.ReplicaSet) field.ErrorList {
		errs := append(checkMetaUpdate(&rs.ObjectMeta, &old.ObjectMeta), checkReplicaSet(&rs.Spec)...)
		return append(errs, immutable(rs.Spec.Selector, old.Spec.Selector, specPath.Child("selector"))...)
	}),
	ValidateStatus: as2(func(rs, old *appsv1.ReplicaSet) field.ErrorList {
		return append(checkMetaUpdate(&rs.ObjectMeta, &old.ObjectMeta), checkReplicaSetStatus(&rs.Status)...)
	}),

	Warn: as(func(rs *appsv1.ReplicaSet) []string { return warnOfSet(rs.Name, &rs.Spec.Template) }),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Desired", "integer", 0, "Pods wanted."),
		col("Current", "integer", 0, "Pods there are."),
		col("Ready", "integer", 0, "Pods that are ready."),
		ageColumn,
		containersColumn,
		imagesColumn,
		selectorColumn,
	},
	Row: as(func(rs *appsv1.ReplicaSet) []any {
		names, images := containerNames(rs.Spec.Template.Spec.Containers)
		return []any{
			rs.Name, int64(replicas(rs.Spec.Replicas)), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas), age(rs.CreationTimestamp),
			names, images, metav1.FormatLabelSelector(rs.Spec.Selector),
		}
	}),
}

var (
	containersColumn = col("Containers", "string", 1, "Names of the template's containers.")
	imagesColumn     = col("Images", "string", 1, "Images of the template's containers.")
	selectorColumn   = col("Selector", "string", 1, "Which pods it counts.")
)

// nextGeneration is the generation of old's successor: another one if what it asks for
// differs.
func nextGeneration(old Object, spec, oldSpec any) int64 {
	if same(spec, oldSpec) {
		return old.GetGeneration()
	}
	return old.GetGeneration() + 1
}

// selectorString is a selector in the syntax of queries, "" if it is none.
func selectorString(s *metav1.LabelSelector) string {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		selector = labels.Nothing()
	}
	return selector.String()
}

// setSelector is where the rules of a set's selector meet: it must be there, must not be
// empty (which would mean all pods), and must choose the pods of the set's own template.
func setSelector(s *metav1.LabelSelector, empty string) (labels.Selector, field.ErrorList) {
	p := specPath.Child("selector")
	var errs field.ErrorList
	if s == nil {
		errs = append(errs, field.Required(p, ""))
	} else {
		errs = append(errs, checkSelector(s, p)...)
		if len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
			errs = append(errs, field.Invalid(p, s, empty))
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, errs
	}
	return selector, errs
}

// checkSelects: a selector must match the labels of the template.
func checkSelects(selector labels.Selector, t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	if selector.Empty() || selector.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(p.Child("metadata", "labels"), t.Labels, "`selector` does not match template `labels`")}
}

func checkReplicaSet(s *appsv1.ReplicaSetSpec) field.ErrorList {
	errs := nonnegative(int64(replicas(s.Replicas)), specPath.Child("replicas"))
	errs = append(errs, nonnegative(int64(s.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	return append(errs, checkReplacedPods(s.Selector, &s.Template)...)
}

// checkReplacedPods is what ReplicaSets and Deployments ask of selector and template; the
// words are a Deployment's for both.
func checkReplacedPods(s *metav1.LabelSelector, t *corev1.PodTemplateSpec) field.ErrorList {
	selector, errs := setSelector(s, "empty selector is invalid for deployment")
	if selector == nil {
		return append(errs, field.Invalid(specPath.Child("selector"), s, "invalid label selector"))
	}
	p := specPath.Child("template")
	errs = append(errs, checkSelects(selector, t, p)...)
	return append(errs, checkPodsTemplate(t, p)...)
}

func checkReplicaSetStatus(s *appsv1.ReplicaSetStatus) field.ErrorList {
	return checkReplicaStatus(&corev1.ReplicationControllerStatus{
		Replicas: s.Replicas, FullyLabeledReplicas: s.FullyLabeledReplicas, ReadyReplicas: s.ReadyReplicas,
		AvailableReplicas: s.AvailableReplicas, ObservedGeneration: s.ObservedGeneration,
	})
}
