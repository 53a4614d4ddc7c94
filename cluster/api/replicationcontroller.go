package api

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReplicationControllers keeps a number of like pods.
var ReplicationControllers = &Kind{
	GroupVersionKind: gvk("", "v1", "ReplicationController"),
	Plural:           "replicationcontrollers", Singular: "replicationcontroller",
	Short: []string{"rc"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &Scale{
		Get: as(func(rc *corev1.ReplicationController) ScaleValues {
			return ScaleValues{Spec: replicas(rc.Spec.Replicas), Status: rc.Status.Replicas, Selector: labels.SelectorFromSet(rc.Spec.Selector).String()}
		}),
		Set: func(o Object, n int32) { o.(*corev1.ReplicationController).Spec.Replicas = &n },
	},
	New:     func() Object { return &corev1.ReplicationController{} },
	NewList: func() runtime.Object { return &corev1.ReplicationControllerList{} },

	Default: do(defaultReplicationController),
	PrepareCreate: do(func(rc *corev1.ReplicationController) {
		rc.Status = corev1.ReplicationControllerStatus{}
		rc.Generation = 1
	}),
	PrepareUpdate: do2(func(rc, old *corev1.ReplicationController) {
		rc.Status = old.Status
		rc.Generation = old.Generation
		if !same(rc.Spec, old.Spec) {
			rc.Generation++
		}
	}),
	PrepareStatus: do2(func(rc, old *corev1.ReplicationController) {
		rc.Spec = old.Spec
		rc.Generation = old.Generation
	}),

	Validate: as(func(rc *corev1.ReplicationController) field.ErrorList {
		return append(checkMeta(&rc.ObjectMeta, true, dnsSubdomain), checkReplicationController(&rc.Spec)...)
	}),
	ValidateUpdate: as2(func(rc, old *corev1.ReplicationController) field.ErrorList {
		errs := checkMetaUpdate(&rc.ObjectMeta, &old.ObjectMeta)
		return append(errs, checkReplicationController(&rc.Spec)...)
	}),
	ValidateStatus: as2(func(rc, old *corev1.ReplicationController) field.ErrorList {
		return append(checkMetaUpdate(&rc.ObjectMeta, &old.ObjectMeta), checkReplicaStatus(&rc.Status)...)
	}),

	Warn: as(func(rc *corev1.ReplicationController) []string {
		if rc.Spec.Template == nil {
			return nil
		}
		return warnOfSet(rc.Name, rc.Spec.Template)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Desired", "integer", 0, "Pods wanted."),
		col("Current", "integer", 0, "Pods there are."),
		col("Ready", "integer", 0, "Pods that are ready."),
		ageColumn,
		col("Containers", "string", 1, "Names of the template's containers."),
		col("Images", "string", 1, "Images of the template's containers."),
		col("Selector", "string", 1, "Which pods it counts."),
	},
	Row: as(func(rc *corev1.ReplicationController) []any {
		var containers []corev1.Container
		if rc.Spec.Template != nil {
			containers = rc.Spec.Template.Spec.Containers
		}
		names, images := containerNames(containers)
		return []any{
			rc.Name, int64(replicas(rc.Spec.Replicas)), int64(rc.Status.Replicas), int64(rc.Status.ReadyReplicas), age(rc.CreationTimestamp),
			names, images, labels.FormatLabels(rc.Spec.Selector),
		}
	}),
	Fields: as(func(rc *corev1.ReplicationController) fields.Set {
		return fields.Set{"status.replicas": fmt.Sprint(rc.Status.Replicas)}
	}),
}

// replicas is the number wanted; left out, it is one.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

func containerNames(containers []corev1.Container) (names, images string) {
	n, i := make([]string, len(containers)), make([]string, len(containers))
	for k := range containers {
		n[k], i[k] = containers[k].Name, containers[k].Image
	}
	return strings.Join(n, ","), strings.Join(i, ",")
}

func defaultReplicationController(rc *corev1.ReplicationController) {
	setDefaultPtr(&rc.Spec.Replicas, 1)
	t := rc.Spec.Template
	if t == nil {
		return
	}
	// What the template's labels say is said once: they are the selector, and the
	// controller's own labels, where those are left out.
	if len(t.Labels) > 0 {
		if len(rc.Spec.Selector) == 0 {
			rc.Spec.Selector = maps.Clone(t.Labels)
		}
		if len(rc.Labels) == 0 {
			rc.Labels = maps.Clone(t.Labels)
		}
	}
	defaultPodSpec(&t.Spec)
}

func checkReplicationController(s *corev1.ReplicationControllerSpec) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, nonnegative(int64(s.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(specPath.Child("selector"), ""))
	}
	if s.Replicas == nil {
		errs = append(errs, field.Required(specPath.Child("replicas"), ""))
	} else {
		errs = append(errs, nonnegative(int64(*s.Replicas), specPath.Child("replicas"))...)
	}
	p := specPath.Child("template")
	if s.Template == nil {
		return append(errs, field.Required(p, ""))
	}
	if len(s.Selector) > 0 && !labels.SelectorFromSet(s.Selector).Matches(labels.Set(s.Template.Labels)) {
		errs = append(errs, field.Invalid(p.Child("metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`"))
	}
	return append(errs, checkPodsTemplate(s.Template, p)...)
}

// checkPodsTemplate is what a controller that replaces its pods asks of their template.
func checkPodsTemplate(t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	return append(checkPodTemplate(t, p), checkRestartsAlways(t, "ReplicaSet", p)...)
}

// checkRestartsAlways: the pods of what keeps pods running do not end by themselves.
func checkRestartsAlways(t *corev1.PodTemplateSpec, kind string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(p.Child("spec", "restartPolicy"), t.Spec.RestartPolicy,
			[]corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(p.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

func checkPodTemplate(t *corev1.PodTemplateSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, metav1validation.ValidateLabels(t.Labels, p.Child("labels"))...)
	errs = append(errs, checkAnnotations(t.Annotations, p.Child("annotations"))...)
	c := podChecker{template: true}
	errs = append(errs, c.podSpec(&t.Spec, p.Child("spec"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(p.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

func checkReplicaStatus(s *corev1.ReplicationControllerStatus) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, nonnegative(int64(s.Replicas), statusPath.Child("replicas"))...)
	errs = append(errs, nonnegative(int64(s.FullyLabeledReplicas), statusPath.Child("fullyLabeledReplicas"))...)
	errs = append(errs, nonnegative(int64(s.ReadyReplicas), statusPath.Child("readyReplicas"))...)
	errs = append(errs, nonnegative(int64(s.AvailableReplicas), statusPath.Child("availableReplicas"))...)
	errs = append(errs, nonnegative(s.ObservedGeneration, statusPath.Child("observedGeneration"))...)
	const msg = "cannot be greater than status.replicas"
	if s.FullyLabeledReplicas > s.Replicas {
		errs = append(errs, field.Invalid(statusPath.Child("fullyLabeledReplicas"), s.FullyLabeledReplicas, msg))
	}
	if s.ReadyReplicas > s.Replicas {
		errs = append(errs, field.Invalid(statusPath.Child("readyReplicas"), s.ReadyReplicas, msg))
	}
	if s.AvailableReplicas > s.Replicas {
		errs = append(errs, field.Invalid(statusPath.Child("availableReplicas"), s.AvailableReplicas, msg))
	}
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(statusPath.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}
