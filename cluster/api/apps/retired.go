package apps

import (
	"maps"
	"math"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// RollbackTo is the annotation with the revision to roll a Deployment back to. The first versions had a field.
const RollbackTo = appsv1.DeprecatedRollbackTo

// Version extensions/v1beta1. The template's labels are the default of the selector and of the object's labels.
var (
	DeploymentsExtensions = api.Retired[*extensionsv1beta1.Deployment, *appsv1.Deployment]{
		Connect: rollback(extensionsv1beta1.SchemeGroupVersion),
		Default: func(d *extensionsv1beta1.Deployment) {
			defaultFromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			s := &d.Spec.Strategy
			rules.SetDefault(&s.Type, extensionsv1beta1.RollingUpdateDeploymentStrategyType)
			if s.Type == extensionsv1beta1.RollingUpdateDeploymentStrategyType {
				if s.RollingUpdate == nil {
					s.RollingUpdate = &extensionsv1beta1.RollingUpdateDeployment{}
				}
				rules.SetDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
				rules.SetDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromInt32(1))
			}
			// The version had neither: no limit.
			rules.SetDefaultPtr(&d.Spec.ProgressDeadlineSeconds, math.MaxInt32)
			rules.SetDefaultPtr(&d.Spec.RevisionHistoryLimit, math.MaxInt32)
		},
		ToStored: func(from *extensionsv1beta1.Deployment, to *appsv1.Deployment) {
			setRollbackTo(&to.ObjectMeta, from.Spec.RollbackTo)
		},
		FromStored: func(_ *appsv1.Deployment, to *extensionsv1beta1.Deployment) {
			to.Spec.RollbackTo = popRollbackTo(&to.ObjectMeta)
		},
	}.Version()

	ReplicaSetsExtensions = api.Retired[*extensionsv1beta1.ReplicaSet, *appsv1.ReplicaSet]{
		Default: func(rs *extensionsv1beta1.ReplicaSet) {
			defaultFromTemplate(&rs.ObjectMeta, &rs.Spec.Selector, &rs.Spec.Template)
		},
	}.Version()

	DaemonSetsExtensions = api.Retired[*extensionsv1beta1.DaemonSet, *appsv1.DaemonSet]{
		Default: func(d *extensionsv1beta1.DaemonSet) {
			defaultFromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			rules.SetDefault(&d.Spec.UpdateStrategy.Type, extensionsv1beta1.OnDeleteDaemonSetStrategyType)
		},
		ToStored: func(from *extensionsv1beta1.DaemonSet, to *appsv1.DaemonSet) {
			if g := from.Spec.TemplateGeneration; g != 0 {
				rules.SetAnnotation(&to.ObjectMeta, appsv1.DeprecatedTemplateGeneration, strconv.FormatInt(g, 10))
			}
		},
		FromStored: func(from *appsv1.DaemonSet, to *extensionsv1beta1.DaemonSet) {
			to.Spec.TemplateGeneration = templateGeneration(from)
			rules.SetAnnotation(&to.ObjectMeta, appsv1.DeprecatedTemplateGeneration, "")
		},
	}.Version()
)

// Version apps/v1beta1. Defaults come from the template's labels too.
var (
	// DeploymentsV1beta1 has a default revisionHistoryLimit of 2.
	DeploymentsV1beta1 = api.Retired[*appsv1beta1.Deployment, *appsv1.Deployment]{
		Connect: rollback(appsv1beta1.SchemeGroupVersion),
		Default: func(d *appsv1beta1.Deployment) {
			defaultFromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			rules.SetDefaultPtr(&d.Spec.RevisionHistoryLimit, 2)
		},
		ToStored: func(from *appsv1beta1.Deployment, to *appsv1.Deployment) {
			setRollbackTo(&to.ObjectMeta, (*extensionsv1beta1.RollbackConfig)(from.Spec.RollbackTo))
		},
		FromStored: func(_ *appsv1.Deployment, to *appsv1beta1.Deployment) {
			to.Spec.RollbackTo = (*appsv1beta1.RollbackConfig)(popRollbackTo(&to.ObjectMeta))
		},
	}.Version()

	// StatefulSetsV1beta1 has the default update strategy OnDelete.
	StatefulSetsV1beta1 = api.Retired[*appsv1beta1.StatefulSet, *appsv1.StatefulSet]{
		Default: func(s *appsv1beta1.StatefulSet) {
			defaultFromTemplate(&s.ObjectMeta, &s.Spec.Selector, &s.Spec.Template)
			rules.SetDefault(&s.Spec.UpdateStrategy.Type, appsv1beta1.OnDeleteStatefulSetStrategyType)
		},
	}.Version()

	// ControllerRevisionsV1beta1 has the shape of apps/v1.
	ControllerRevisionsV1beta1 = api.Retired[*appsv1beta1.ControllerRevision, *appsv1.ControllerRevision]{}.Version()
)

// Version apps/v1beta2. Its defaults are those of apps/v1.
var (
	DeploymentsV1beta2 = api.Retired[*appsv1beta2.Deployment, *appsv1.Deployment]{}.Version()

	ReplicaSetsV1beta2 = api.Retired[*appsv1beta2.ReplicaSet, *appsv1.ReplicaSet]{}.Version()

	DaemonSetsV1beta2 = api.Retired[*appsv1beta2.DaemonSet, *appsv1.DaemonSet]{}.Version()

	StatefulSetsV1beta2 = api.Retired[*appsv1beta2.StatefulSet, *appsv1.StatefulSet]{}.Version()

	ControllerRevisionsV1beta2 = api.Retired[*appsv1beta2.ControllerRevision, *appsv1.ControllerRevision]{}.Version()
)

// defaultFromTemplate sets the object's labels and its selector to the labels of the template.
func defaultFromTemplate(m *metav1.ObjectMeta, selector **metav1.LabelSelector, t *corev1.PodTemplateSpec) {
	if len(t.Labels) == 0 {
		return
	}
	if *selector == nil {
		*selector = &metav1.LabelSelector{MatchLabels: maps.Clone(t.Labels)}
	}
	if len(m.Labels) == 0 {
		m.Labels = maps.Clone(t.Labels)
	}
}

// rollback returns the subresource that rolls a Deployment back.
func rollback(gv schema.GroupVersion) []api.Subresource {
	return []api.Subresource{{Name: "rollback", Kind: gv.WithKind("DeploymentRollback"), Verbs: []string{"create"}}}
}

func setRollbackTo(m *metav1.ObjectMeta, r *extensionsv1beta1.RollbackConfig) {
	if r != nil {
		rules.SetAnnotation(m, RollbackTo, strconv.FormatInt(r.Revision, 10))
	}
}

// popRollbackTo removes the annotation and returns its revision, nil if there is none.
func popRollbackTo(m *metav1.ObjectMeta) *extensionsv1beta1.RollbackConfig {
	revision, err := strconv.ParseInt(m.Annotations[RollbackTo], 10, 64)
	if err != nil {
		return nil
	}
	rules.SetAnnotation(m, RollbackTo, "")
	return &extensionsv1beta1.RollbackConfig{Revision: revision}
}
