package api

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
)

// RollbackTo is the annotation in which a Deployment keeps the revision that it is to go
// back to, which the first versions had in a field.
const RollbackTo = appsv1.DeprecatedRollbackTo

// The versions of extensions: the first, of 2015 and 2016. What is left out of a selector
// or of an object's labels is what the template's labels say.
var (
	DeploymentsExtensions = former[*extensionsv1beta1.Deployment, *appsv1.Deployment]{
		gv: extensionsv1beta1.SchemeGroupVersion, of: Deployments, scale: extensionsv1beta1.SchemeGroupVersion,
		obj: &extensionsv1beta1.Deployment{}, list: &extensionsv1beta1.DeploymentList{},
		connect: rollback(extensionsv1beta1.SchemeGroupVersion),
		fill: func(d *extensionsv1beta1.Deployment) {
			fromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			s := &d.Spec.Strategy
			setDefault(&s.Type, extensionsv1beta1.RollingUpdateDeploymentStrategyType)
			if s.Type == extensionsv1beta1.RollingUpdateDeploymentStrategyType {
				if s.RollingUpdate == nil {
					s.RollingUpdate = &extensionsv1beta1.RollingUpdateDeployment{}
				}
				setDefaultPtr(&s.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
				setDefaultPtr(&s.RollingUpdate.MaxSurge, intstr.FromInt32(1))
			}
			// Neither was there yet: no limit.
			setDefaultPtr(&d.Spec.ProgressDeadlineSeconds, math.MaxInt32)
			setDefaultPtr(&d.Spec.RevisionHistoryLimit, math.MaxInt32)
		},
		up: func(from *extensionsv1beta1.Deployment, to *appsv1.Deployment) {
			if r := from.Spec.RollbackTo; r != nil {
				annotate(&to.ObjectMeta, RollbackTo, strconv.FormatInt(r.Revision, 10))
			}
		},
		down: func(from *appsv1.Deployment, to *extensionsv1beta1.Deployment) {
			if revision, ok := rollbackTo(&from.ObjectMeta); ok {
				to.Spec.RollbackTo = &extensionsv1beta1.RollbackConfig{Revision: revision}
				annotate(&to.ObjectMeta, RollbackTo, "")
			}
		},
	}.kind()

	ReplicaSetsExtensions = former[*extensionsv1beta1.ReplicaSet, *appsv1.ReplicaSet]{
		gv: extensionsv1beta1.SchemeGroupVersion, of: ReplicaSets, scale: extensionsv1beta1.SchemeGroupVersion,
		obj: &extensionsv1beta1.ReplicaSet{}, list: &extensionsv1beta1.ReplicaSetList{},
		fill: func(rs *extensionsv1beta1.ReplicaSet) {
			fromTemplate(&rs.ObjectMeta, &rs.Spec.Selector, &rs.Spec.Template)
		},
	}.kind()

	DaemonSetsExtensions = former[*extensionsv1beta1.DaemonSet, *appsv1.DaemonSet]{
		gv: extensionsv1beta1.SchemeGroupVersion, of: DaemonSets,
		obj: &extensionsv1beta1.DaemonSet{}, list: &extensionsv1beta1.DaemonSetList{},
		fill: func(d *extensionsv1beta1.DaemonSet) {
			fromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			setDefault(&d.Spec.UpdateStrategy.Type, extensionsv1beta1.OnDeleteDaemonSetStrategyType)
		},
		up: func(from *extensionsv1beta1.DaemonSet, to *appsv1.DaemonSet) {
			if g := from.Spec.TemplateGeneration; g != 0 {
				annotate(&to.ObjectMeta, templateGeneration, strconv.FormatInt(g, 10))
			}
		},
		down: func(from *appsv1.DaemonSet, to *extensionsv1beta1.DaemonSet) {
			to.Spec.TemplateGeneration = generationOfTemplate(from)
			annotate(&to.ObjectMeta, templateGeneration, "")
		},
	}.kind()
)

// The versions of apps that stood between: in v1beta1 the template's labels still said
// what was left out.
var (
	// DeploymentsV1beta1 kept two old ReplicaSets.
	DeploymentsV1beta1 = former[*appsv1beta1.Deployment, *appsv1.Deployment]{
		gv: appsv1beta1.SchemeGroupVersion, of: Deployments, scale: appsv1beta1.SchemeGroupVersion,
		obj: &appsv1beta1.Deployment{}, list: &appsv1beta1.DeploymentList{},
		connect: rollback(appsv1beta1.SchemeGroupVersion),
		fill: func(d *appsv1beta1.Deployment) {
			fromTemplate(&d.ObjectMeta, &d.Spec.Selector, &d.Spec.Template)
			setDefaultPtr(&d.Spec.RevisionHistoryLimit, 2)
		},
		up: func(from *appsv1beta1.Deployment, to *appsv1.Deployment) {
			if r := from.Spec.RollbackTo; r != nil {
				annotate(&to.ObjectMeta, RollbackTo, strconv.FormatInt(r.Revision, 10))
			}
		},
		down: func(from *appsv1.Deployment, to *appsv1beta1.Deployment) {
			if revision, ok := rollbackTo(&from.ObjectMeta); ok {
				to.Spec.RollbackTo = &appsv1beta1.RollbackConfig{Revision: revision}
				annotate(&to.ObjectMeta, RollbackTo, "")
			}
		},
	}.kind()

	// StatefulSetsV1beta1 replaced no pods by itself.
	StatefulSetsV1beta1 = former[*appsv1beta1.StatefulSet, *appsv1.StatefulSet]{
		gv: appsv1beta1.SchemeGroupVersion, of: StatefulSets, scale: appsv1beta1.SchemeGroupVersion,
		obj: &appsv1beta1.StatefulSet{}, list: &appsv1beta1.StatefulSetList{},
		fill: func(s *appsv1beta1.StatefulSet) {
			fromTemplate(&s.ObjectMeta, &s.Spec.Selector, &s.Spec.Template)
			setDefault(&s.Spec.UpdateStrategy.Type, appsv1beta1.OnDeleteStatefulSetStrategyType)
		},
	}.kind()

	// ControllerRevisionsV1beta1 is no different.
	ControllerRevisionsV1beta1 = former[*appsv1beta1.ControllerRevision, *appsv1.ControllerRevision]{
		gv: appsv1beta1.SchemeGroupVersion, of: ControllerRevisions,
		obj: &appsv1beta1.ControllerRevision{}, list: &appsv1beta1.ControllerRevisionList{},
	}.kind()
)

// What apps/v1beta2 filled in is what apps/v1 does.
var (
	DeploymentsV1beta2 = former[*appsv1beta2.Deployment, *appsv1.Deployment]{
		gv: appsv1beta2.SchemeGroupVersion, of: Deployments, scale: appsv1beta2.SchemeGroupVersion,
		obj: &appsv1beta2.Deployment{}, list: &appsv1beta2.DeploymentList{},
	}.kind()

	ReplicaSetsV1beta2 = former[*appsv1beta2.ReplicaSet, *appsv1.ReplicaSet]{
		gv: appsv1beta2.SchemeGroupVersion, of: ReplicaSets, scale: appsv1beta2.SchemeGroupVersion,
		obj: &appsv1beta2.ReplicaSet{}, list: &appsv1beta2.ReplicaSetList{},
	}.kind()

	DaemonSetsV1beta2 = former[*appsv1beta2.DaemonSet, *appsv1.DaemonSet]{
		gv: appsv1beta2.SchemeGroupVersion, of: DaemonSets,
		obj: &appsv1beta2.DaemonSet{}, list: &appsv1beta2.DaemonSetList{},
	}.kind()

	StatefulSetsV1beta2 = former[*appsv1beta2.StatefulSet, *appsv1.StatefulSet]{
		gv: appsv1beta2.SchemeGroupVersion, of: StatefulSets, scale: appsv1beta2.SchemeGroupVersion,
		obj: &appsv1beta2.StatefulSet{}, list: &appsv1beta2.StatefulSetList{},
	}.kind()

	ControllerRevisionsV1beta2 = former[*appsv1beta2.ControllerRevision, *appsv1.ControllerRevision]{
		gv: appsv1beta2.SchemeGroupVersion, of: ControllerRevisions,
		obj: &appsv1beta2.ControllerRevision{}, list: &appsv1beta2.ControllerRevisionList{},
	}.kind()
)

// fromTemplate gives a set the labels of its pods, and a selector of them.
func fromTemplate(m *metav1.ObjectMeta, selector **metav1.LabelSelector, t *corev1.PodTemplateSpec) {
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

// rollback is the subresource by which the server was told to go back.
func rollback(gv schema.GroupVersion) []Subresource {
	return []Subresource{{Name: "rollback", Kind: gv.WithKind("DeploymentRollback"), Verbs: []string{"create"}}}
}

func rollbackTo(m *metav1.ObjectMeta) (revision int64, ok bool) {
	v, has := m.Annotations[RollbackTo]
	revision, err := strconv.ParseInt(v, 10, 64)
	return revision, has && err == nil
}
