// Package apps has the kinds of the group apps: Deployment, ReplicaSet, StatefulSet, DaemonSet and
// ControllerRevision, one file each, and their retired versions.
package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// Deployments is the kind Deployment: it replaces pods by those of a new template with ReplicaSets.
var Deployments = api.Of[appsv1.Deployment, appsv1.DeploymentList](&api.Kind{
	GroupVersionKind: api.GVK(appsv1.GroupName, "v1", "Deployment"),
	Plural:           "deployments", Singular: "deployment",
	Short: []string{"deploy"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &api.Scale{
		Get: rules.Typed(func(d *appsv1.Deployment) api.ScaleValues {
			return api.ScaleValues{Spec: ptr.Deref(d.Spec.Replicas, 1), Status: d.Status.Replicas, Selector: selectorString(d.Spec.Selector)}
		}),
		Set: func(o api.Object, n int32) { o.(*appsv1.Deployment).Spec.Replicas = &n },
	},
	Versions: []api.Version{DeploymentsV1beta2, DeploymentsV1beta1, DeploymentsExtensions},

	Default: rules.Mutate(defaultDeployment),
	PrepareCreate: rules.Mutate(func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{}
		d.Generation = 1
	}),
	// The controller copies the annotations to the ReplicaSets, so they count as spec.
	PrepareUpdate: rules.MutateUpdate(func(d, old *appsv1.Deployment) {
		d.Status = old.Status
		d.Generation = rules.NextGeneration(old, d.Spec, old.Spec)
		if !rules.Equal(d.Annotations, old.Annotations) {
			d.Generation = old.Generation + 1
		}
	}),
	PrepareStatus: rules.MutateUpdate(func(d, old *appsv1.Deployment) {
		d.Spec = old.Spec
		d.Labels = old.Labels
		d.Generation = old.Generation
	}),

	Validate: rules.Validate(true, rules.DNSSubdomain, validateDeployment),
	ValidateUpdate: rules.ValidateUpdate(validateDeployment, func(d, old *appsv1.Deployment) field.ErrorList {
		return rules.Immutable(d.Spec.Selector, old.Spec.Selector, rules.SpecPath.Child("selector"))
	}),
	ValidateStatus: rules.TypedUpdate(validateDeploymentStatus),

	Warn: rules.Typed(func(d *appsv1.Deployment) []string {
		return podrules.WarningsForNamedTemplate(d.Name, &d.Spec.Template)
	}),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Ready", "string", 0, "Number of the pod with ready state"),
		rules.Column("Up-to-date", "string", 0, rules.Doc(appsv1.DeploymentStatus{}, "updatedReplicas")),
		rules.Column("Available", "string", 0, rules.Doc(appsv1.DeploymentStatus{}, "availableReplicas")),
		rules.AgeColumn,
	}, podrules.TemplateColumns(rules.Doc(appsv1.DeploymentSpec{}, "selector"))...),
	Row: rules.Typed(func(d *appsv1.Deployment) []any {
		names, images := podrules.ContainerCells(d.Spec.Template.Spec.Containers)
		return []any{
			d.Name, fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, ptr.Deref(d.Spec.Replicas, 1)),
			int64(d.Status.UpdatedReplicas), int64(d.Status.AvailableReplicas), rules.Age(d.CreationTimestamp),
			names, images, selectorString(d.Spec.Selector),
		}
	}),
})

func defaultDeployment(d *appsv1.Deployment) {
	rules.SetDefaultPtr(&d.Spec.Replicas, 1)
	podrules.DefaultPodSpec(&d.Spec.Template.Spec)
	s := &d.Spec.Strategy
	rules.SetDefault(&s.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if s.Type == appsv1.RollingUpdateDeploymentStrategyType {
		if s.RollingUpdate == nil {
			s.RollingUpdate = &appsv1.RollingUpdateDeployment{}
		}
		rules.SetDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
		rules.SetDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromString("25%"))
	}
	rules.SetDefaultPtr(&d.Spec.RevisionHistoryLimit, 10)
	rules.SetDefaultPtr(&d.Spec.ProgressDeadlineSeconds, 600)
}
