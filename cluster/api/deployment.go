package api

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Deployments replaces the pods of one version by those of the next.
var Deployments = &Kind{
	GroupVersionKind: gvk(appsv1.GroupName, "v1", "Deployment"),
	Plural:           "deployments", Singular: "deployment",
	Short: []string{"deploy"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &Scale{
		Get: as(func(d *appsv1.Deployment) ScaleValues {
			return ScaleValues{Spec: replicas(d.Spec.Replicas), Status: d.Status.Replicas, Selector: selectorString(d.Spec.Selector)}
		}),
		Set: func(o Object, n int32) { o.(*appsv1.Deployment).Spec.Replicas = &n },
	},
	New:     func() Object { return &appsv1.Deployment{} },
	NewList: func() runtime.Object { return &appsv1.DeploymentList{} },

	Default: do(defaultDeployment),
	PrepareCreate: do(func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{}
		d.Generation = 1
	}),
	// The annotations count as wishes too: the controller copies them to the ReplicaSets.
	PrepareUpdate: do2(func(d, old *appsv1.Deployment) {
		d.Status = old.Status
		d.Generation = nextGeneration(old, d.Spec, old.Spec)
		if !same(d.Annotations, old.Annotations) {
			d.Generation = old.Generation + 1
		}
	}),
	PrepareStatus: do2(func(d, old *appsv1.Deployment) {
		d.Spec = old.Spec
		d.Labels = old.Labels
		d.Generation = old.Generation
	}),

	Validate: as(func(d *appsv1.Deployment) field.ErrorList {
		return append(checkMeta(&d.ObjectMeta, true, dnsSubdomain), checkDeployment(&d.Spec)...)
	}),
	ValidateUpdate: as2(func(d, old *appsv1.Deployment) field.ErrorList {
		errs := append(checkMetaUpdate(&d.ObjectMeta, &old.ObjectMeta), checkDeployment(&d.Spec)...)
		return append(errs, immutable(d.Spec.Selector, old.Spec.Selector, specPath.Child("selector"))...)
	}),
	ValidateStatus: as2(checkDeploymentStatus),

	Warn: as(func(d *appsv1.Deployment) []string { return warnOfSet(d.Name, &d.Spec.Template) }),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Ready", "string", 0, "Pods that are ready, of those wanted."),
		col("Up-to-date", "string", 0, "Pods of the newest template."),
		col("Available", "string", 0, "Pods that have been ready for long enough."),
		ageColumn,
		containersColumn,
		imagesColumn,
		selectorColumn,
	},
	Row: as(func(d *appsv1.Deployment) []any {
		names, images := containerNames(d.Spec.Template.Spec.Containers)
		return []any{
			d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, replicas(d.Spec.Replicas)),
			int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), age(d.CreationTimestamp),
			names, images, selectorString(d.Spec.Selector),
		}
	}),
}

func defaultDeployment(d *appsv1.Deployment) {
	setDefaultPtr(&d.Spec.Replicas, 1)
	defaultPodSpec(&d.Spec.Template.Spec)
	s := &d.Spec.Strategy
	setDefault(&s.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.RollingUpdate == nil {
			s.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		setDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		setDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	setDefaultPtr(&d.Spec.RevisionHistoryLimit, 10)
	setDefaultPtr(&d.Spec.ProgressDeadlineSeconds, 600)
}
