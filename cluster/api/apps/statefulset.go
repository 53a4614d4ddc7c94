package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// StatefulSets is the kind StatefulSet: pods with stable names and volumes of their own.
var StatefulSets = rules.SpecAndStatus(api.Of[appsv1.StatefulSet, appsv1.StatefulSetList](&api.Kind{
	GroupVersionKind: api.GVK(appsv1.GroupName, "v1", "StatefulSet"),
	Plural:           "statefulsets", Singular: "statefulset",
	Short: []string{"sts"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Scale: &api.Scale{
		Get: rules.Typed(func(s *appsv1.StatefulSet) api.ScaleValues {
			return api.ScaleValues{Spec: ptr.Deref(s.Spec.Replicas, 1), Status: s.Status.Replicas, Selector: selectorString(s.Spec.Selector)}
		}),
		Set: func(o api.Object, n int32) { o.(*appsv1.StatefulSet).Spec.Replicas = &n },
	},
	Versions: []api.Version{StatefulSetsV1beta2, StatefulSetsV1beta1},

	Default: rules.Mutate(defaultStatefulSet),
	Restore: rules.Mutate(nameClaimTemplates),

	Validate:       rules.Validate(true, rules.DNSLabel, validateStatefulSet),
	ValidateUpdate: rules.TypedUpdate(validateStatefulSetUpdate),
	ValidateStatus: rules.TypedUpdate(validateStatefulSetStatus),

	Warn: rules.Typed(statefulSetWarnings),

	Columns: append([]metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Ready", "string", 0, "Number of the pod with ready state"),
		rules.AgeColumn,
	}, podrules.TemplateColumns("")[:2]...),
	Row: rules.Typed(func(s *appsv1.StatefulSet) []any {
		names, images := podrules.ContainerCells(s.Spec.Template.Spec.Containers)
		return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, ptr.Deref(s.Spec.Replicas, 1)), rules.Age(s.CreationTimestamp), names, images}
	}),
}), func(o *appsv1.StatefulSet) (*appsv1.StatefulSetSpec, *appsv1.StatefulSetStatus) {
	return &o.Spec, &o.Status
})

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	rules.SetDefaultPtr(&spec.Replicas, 1)
	podrules.DefaultPodSpec(&spec.Template.Spec)
	rules.SetDefault(&spec.PodManagementPolicy, appsv1.OrderedReadyPodManagement)
	u := &spec.UpdateStrategy
	if u.Type == "" {
		u.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if u.RollingUpdate == nil {
			u.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate != nil {
		rules.SetDefaultPtr(&u.RollingUpdate.Partition, 0)
	}
	rules.SetDefaultPtr(&spec.PersistentVolumeClaimRetentionPolicy, appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{})
	retain := spec.PersistentVolumeClaimRetentionPolicy
	rules.SetDefault(&retain.WhenDeleted, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	rules.SetDefault(&retain.WhenScaled, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
	rules.SetDefaultPtr(&spec.RevisionHistoryLimit, 10)
	for i := range spec.VolumeClaimTemplates {
		c := &spec.VolumeClaimTemplates[i]
		core.PersistentVolumeClaims.Default(c)
	}
	nameClaimTemplates(s)
}

// nameClaimTemplates sets the kind of the claim templates, whatever a client calls them.
func nameClaimTemplates(s *appsv1.StatefulSet) {
	for i := range s.Spec.VolumeClaimTemplates {
		s.Spec.VolumeClaimTemplates[i].TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	}
}

func statefulSetWarnings(s *appsv1.StatefulSet) []string {
	var w podrules.Warnings
	w.Template(&s.Spec.Template, rules.SpecPath.Child("template"))
	for i := range s.Spec.VolumeClaimTemplates {
		w.ClaimSpec(&s.Spec.VolumeClaimTemplates[i].Spec, rules.SpecPath.Child("volumeClaimTemplates").Index(i))
	}
	if n := s.Spec.RevisionHistoryLimit; n != nil && *n < 0 {
		w.Add(rules.SpecPath.Child("revisionHistoryLimit"), "a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return w
}
