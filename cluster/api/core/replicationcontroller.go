package core

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// ReplicationControllers is the kind ReplicationController: a number of equal pods.
var ReplicationControllers = rules.SpecAndStatus(api.Of[corev1.ReplicationController, corev1.ReplicationControllerList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "ReplicationController"),
	Plural:           "replicationcontrollers", Singular: "replicationcontroller",
	Short: []string{"rc"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &api.Scale{
		Get: rules.Typed(func(rc *corev1.ReplicationController) api.ScaleValues {
			return api.ScaleValues{Spec: ptr.Deref(rc.Spec.Replicas, 1), Status: rc.Status.Replicas, Selector: labels.SelectorFromSet(rc.Spec.Selector).String()}
		}),
		Set: func(o api.Object, n int32) { o.(*corev1.ReplicationController).Spec.Replicas = &n },
	},

	Default: rules.Mutate(defaultReplicationController),

	Validate:       rules.Validate(true, rules.DNSSubdomain, validateReplicationController),
	ValidateUpdate: rules.ValidateUpdate(validateReplicationController),
	ValidateStatus: rules.ValidateUpdate(func(rc *corev1.ReplicationController) field.ErrorList { return ValidateReplicaStatus(&rc.Status) }),

	Warn: rules.Typed(func(rc *corev1.ReplicationController) []string {
		if rc.Spec.Template == nil {
			return nil
		}
		return podrules.WarningsForNamedTemplate(rc.Name, rc.Spec.Template)
	}),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Desired", "integer", 0, rules.Doc(corev1.ReplicationControllerSpec{}, "replicas")),
		rules.Column("Current", "integer", 0, rules.Doc(corev1.ReplicationControllerStatus{}, "replicas")),
		rules.Column("Ready", "integer", 0, rules.Doc(corev1.ReplicationControllerStatus{}, "readyReplicas")),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(corev1.ReplicationControllerSpec{}, "selector"))...),
	Row: rules.Typed(func(rc *corev1.ReplicationController) []any {
		var containers []corev1.Container
		if rc.Spec.Template != nil {
			containers = rc.Spec.Template.Spec.Containers
		}
		names, images := podrules.ContainerCells(containers)
		return []any{
			rc.Name, int64(ptr.Deref(rc.Spec.Replicas, 1)), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas), rules.Age(rc.CreationTimestamp),
			names, images, labels.FormatLabels(rc.Spec.Selector),
		}
	}),
	Fields: rules.Typed(func(rc *corev1.ReplicationController) fields.Set {
		return fields.Set{"status.replicas": fmt.Sprint(rc.Status.Replicas)}
	}),
}), func(o *corev1.ReplicationController) (*corev1.ReplicationControllerSpec, *corev1.ReplicationControllerStatus) {
	return &o.Spec, &o.Status
})

func defaultReplicationController(rc *corev1.ReplicationController) {
	rules.SetDefaultPtr(&rc.Spec.Replicas, 1)
	t := rc.Spec.Template
	if t == nil {
		return
	}
	// The template's labels are the default of the selector and of the object's labels.
	if len(t.Labels) > 0 {
		if len(rc.Spec.Selector) == 0 {
			rc.Spec.Selector = maps.Clone(t.Labels)
		}
		if len(rc.Labels) == 0 {
			rc.Labels = maps.Clone(t.Labels)
		}
	}
	podrules.DefaultPodSpec(&t.Spec)
}

func validateReplicationController(rc *corev1.ReplicationController) field.ErrorList {
	s := &rc.Spec
	var errs field.ErrorList
	errs = append(errs, rules.NonNegative(int64(s.MinReadySeconds), rules.SpecPath.Child("minReadySeconds"))...)
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(rules.SpecPath.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(rules.SpecPath.Child("replicas"), ""))
	} else {
		errs = append(errs, rules.NonNegative(int64(*s.Replicas), rules.SpecPath.Child("replicas"))...)
	}
	p := rules.SpecPath.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(p, ""))
	}
	if len(s.Selector) > 0 && !labels.SelectorFromSet(s.Selector).Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(p.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return append(errs, podrules.ValidateReplicaTemplate(s.Template, "ReplicationController", p)...)
}

// ValidateReplicaStatus validates the counts of a ReplicationController or ReplicaSet.
func ValidateReplicaStatus(s *corev1.ReplicationControllerStatus) field.ErrorList {
	replicas, labeled := rules.Count("replicas", s.Replicas), rules.Count("fullyLabeledReplicas", s.FullyLabeledReplicas)
	ready, available := rules.Count("readyReplicas", s.ReadyReplicas), rules.Count("availableReplicas", s.AvailableReplicas)
	errs := rules.NonNegativeCounts(replicas, labeled, ready, available, rules.Count("observedGeneration", s.ObservedGeneration))
	errs = append(errs, rules.NotGreater(s.Replicas, "cannot be greater than status.replicas", labeled, ready, available)...)
	return append(errs, rules.NotGreater(s.ReadyReplicas, "cannot be greater than readyReplicas", available)...)
}
