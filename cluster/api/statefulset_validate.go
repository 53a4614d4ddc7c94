package api

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func checkStatefulSet(s *appsv1.StatefulSetSpec) field.ErrorList {
	var errs field.ErrorList
	p := specPath.Child("podManagementPolicy")
	switch s.PodManagementPolicy {
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	case "":
		errs = append(errs, field.Required(p, ""))
	default:
		errs = append(errs, field.Invalid(p, s.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	errs = append(errs, checkStatefulStrategy(&s.UpdateStrategy, specPath.Child("updateStrategy"))...)
	if r := s.PersistentVolumeClaimRetentionPolicy; r != nil {
		at := specPath.Child("persistentVolumeClaimRetentionPolicy")
		retain, remove := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = append(errs, oneOf(r.WhenDeleted, at.Child("whenDeleted"), retain, remove)...)
		errs = append(errs, oneOf(r.WhenScaled, at.Child("whenScaled"), retain, remove)...)
	}
	errs = append(errs, nonnegative(int64(replicas(s.Replicas)), specPath.Child("replicas"))...)
	errs = append(errs, nonnegative(int64(s.MinReadySeconds), specPath.Child("minReadySeconds"))...)
	if s.Ordinals != nil {
		errs = append(errs, nonnegative(int64(s.Ordinals.Start), specPath.Child("ordinals.start"))...)
	}
	if s.ServiceName != "" {
		errs = append(errs, invalid(specPath.Child("serviceName"), s.ServiceName, dnsLabel(s.ServiceName, false))...)
	}
	return append(errs, checkStatefulPods(s)...)
}

func checkStatefulStrategy(s *appsv1.StatefulSetUpdateStrategy, p *field.Path) field.ErrorList {
	rolling := p.Child("rollingUpdate")
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(p, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(rolling, s.RollingUpdate,
				fmt.Sprintf("only allowed for updateStrategy '%s'", appsv1.RollingUpdateStatefulSetStrategyType))}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
	default:
		return field.ErrorList{field.Invalid(p, s, fmt.Sprintf("must be '%s' or '%s'",
			appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType))}
	}
	if s.RollingUpdate == nil {
		return nil
	}
	errs := nonnegativePtr(s.RollingUpdate.Partition, rolling.Child("partition"))
	if most := s.RollingUpdate.MaxUnavailable; most != nil {
		at := rolling.Child("maxUnavailable")
		errs = append(errs, checkCountOrPercent(*most, at)...)
		if isZeroCount(*most) {
			errs = append(errs, field.Invalid(at, *most, "cannot be 0"))
		}
		errs = append(errs, checkWithin100Percent(*most, at)...)
	}
	return errs
}

// checkStatefulPods checks selector, template and the claims that each pod gets.
func checkStatefulPods(s *appsv1.StatefulSetSpec) field.ErrorList {
	selector, errs := setSelector(s.Selector, "empty selector is invalid for statefulset")
	p := specPath.Child("template")
	if selector == nil {
		errs = append(errs, field.Invalid(specPath.Child("selector"), s.Selector, ""))
	} else {
		errs = append(errs, checkSelects(selector, &s.Template, p)...)
		errs = append(errs, checkPodTemplate(withClaimVolumes(s), p)...)
	}
	errs = append(errs, checkRestartsAlways(&s.Template, "StatefulSet", p)...)
	for i := range s.VolumeClaimTemplates {
		errs = append(errs, checkClaimSpec(&s.VolumeClaimTemplates[i].Spec, specPath.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
	}
	return errs
}

// withClaimVolumes is the template with the volumes that each pod will have: the
// controller adds one for each claim, in the place of one of the same name.
func withClaimVolumes(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	if len(s.VolumeClaimTemplates) == 0 {
		return &s.Template
	}
	t := s.Template.DeepCopy()
	own := make(map[string]bool, len(t.Spec.Volumes))
	for i := range t.Spec.Volumes {
		own[t.Spec.Volumes[i].Name] = true
	}
	for i := range s.VolumeClaimTemplates {
		if name := s.VolumeClaimTemplates[i].Name; !own[name] {
			t.Spec.Volumes = append(t.Spec.Volumes, corev1.Volume{
				Name:         name,
				VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}},
			})
		}
	}
	return t
}

// checkStatefulSetUpdate: the identity of the pods (names, claims, service) stays.
func checkStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	errs := append(checkMetaUpdate(&s.ObjectMeta, &old.ObjectMeta), checkStatefulSet(&s.Spec)...)
	rest := s.Spec
	rest.Replicas = old.Spec.Replicas
	rest.Ordinals = old.Spec.Ordinals
	rest.Template = old.Spec.Template
	rest.UpdateStrategy = old.Spec.UpdateStrategy
	rest.RevisionHistoryLimit = old.Spec.RevisionHistoryLimit
	rest.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	rest.MinReadySeconds = old.Spec.MinReadySeconds
	// What is read from the store does not say again that a claim is a claim.
	rest.VolumeClaimTemplates = slices.Clone(rest.VolumeClaimTemplates)
	for i := range rest.VolumeClaimTemplates {
		if i < len(old.Spec.VolumeClaimTemplates) {
			rest.VolumeClaimTemplates[i].TypeMeta = old.Spec.VolumeClaimTemplates[i].TypeMeta
		}
	}
	if !same(rest, old.Spec) {
		errs = append(errs, field.Forbidden(specPath, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
			"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
}

func checkStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	var errs field.ErrorList
	st := &s.Status
	for _, n := range []count{
		{"replicas", int64(st.Replicas)},
		{"readyReplicas", int64(st.ReadyReplicas)},
		{"currentReplicas", int64(st.CurrentReplicas)},
		{"updatedReplicas", int64(st.UpdatedReplicas)},
		{"availableReplicas", int64(st.AvailableReplicas)},
		{"observedGeneration", st.ObservedGeneration},
	} {
		errs = append(errs, nonnegative(n.value, statusPath.Child(n.name))...)
	}
	errs = append(errs, nonnegativePtr(st.CollisionCount, statusPath.Child("collisionCount"))...)
	errs = append(errs, notAbove(st.Replicas, "cannot be greater than status.replicas",
		count{"readyReplicas", int64(st.ReadyReplicas)}, count{"currentReplicas", int64(st.CurrentReplicas)},
		count{"updatedReplicas", int64(st.UpdatedReplicas)}, count{"availableReplicas", int64(st.AvailableReplicas)})...)
	errs = append(errs, notAbove(st.ReadyReplicas, "cannot be greater than status.readyReplicas",
		count{"availableReplicas", int64(st.AvailableReplicas)})...)
	errs = append(errs, checkMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)...)
	return append(errs, checkCollisions(st.CollisionCount, old.Status.CollisionCount)...)
}
