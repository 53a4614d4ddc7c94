package api

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StatefulSets keeps pods with names and volumes of their own (the pet sets of 2016).
var StatefulSets = &Kind{
	GroupVersionKind: gvk(appsv1.GroupName, "v1", "StatefulSet"),
	Plural:           "statefulsets", Singular: "statefulset",
	Short: []string{"sts"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &Scale{
		Get: as(func(s *appsv1.StatefulSet) ScaleValues {
			return ScaleValues{Spec: replicas(s.Spec.Replicas), Status: s.Status.Replicas, Selector: selectorString(s.Spec.Selector)}
		}),
		Set: func(o Object, n int32) { o.(*appsv1.StatefulSet).Spec.Replicas = &n },
	},
	New:     func() Object { return &appsv1.StatefulSet{} },
	NewList: func() runtime.Object { return &appsv1.StatefulSetList{} },

	Default: do(defaultStatefulSet),
	PrepareCreate: do(func(s *appsv1.StatefulSet) {
		s.Status = appsv1.StatefulSetStatus{}
		s.Generation = 1
	}),
	PrepareUpdate: do2(func(s, old *appsv1.StatefulSet) {
		s.Status = old.Status
		s.Generation = nextGeneration(old, s.Spec, old.Spec)
	}),
	PrepareStatus: do2(func(s, old *appsv1.StatefulSet) {
		s.Spec = old.Spec
		s.Generation = old.Generation
	}),

	Validate: as(func(s *appsv1.StatefulSet) field.ErrorList {
		return append(checkMeta(&s.ObjectMeta, true, dnsLabel), checkStatefulSet(&s.Spec)...)
	}),
	ValidateUpdate: as2(checkStatefulSetUpdate),
	ValidateStatus: as2(checkStatefulSetStatus),

	Warn: as(warnOfStatefulSet),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Ready", "string", 0, "Pods that are ready, of those wanted."),
		ageColumn,
		containersColumn,
		imagesColumn,
	},
	Row: as(func(s *appsv1.StatefulSet) []any {
		names, images := containerNames(s.Spec.Template.Spec.Containers)
		return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, replicas(s.Spec.Replicas)), age(s.CreationTimestamp), names, images}
	}),
}

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	setDefaultPtr(&spec.Replicas, 1)
	defaultPodSpec(&spec.Template.Spec)
	setDefault(&spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	u := &spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		setDefaultPtr(&u.RollingUpdate.Partition, 0)
		setDefaultPtr(&u.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
	}
	setDefaultPtr(&spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	retain := spec.PersistentVolumeClaimRetentionPolicy
	setDefault(&retain.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setDefault(&retain.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	setDefaultPtr(&spec.RevisionHistoryLimit, 10)
	for i := range spec.VolumeClaimTemplates {
		c := &spec.VolumeClaimTemplates[i]
		PersistentVolumeClaims.Default(c)
		setDefault(&c.APIVersion, "v1")
		setDefault(&c.Kind, "PersistentVolumeClaim")
	}
}
