package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

func validateStatefulSet(set *appsv1.StatefulSet) field.ErrorList {
	return validateStatefulSetSpec(&set.Spec, setValidation{})
}

// setValidation has what an update is not refused for: it cannot be changed, or the old set has it already.
type setValidation struct {
	update      bool // the service's name and the claim templates, which are immutable
	badTemplate bool // the template of the pods
}

func validateStatefulSetSpec(s *appsv1.StatefulSetSpec, skip setValidation) field.ErrorList {
	var errs field.ErrorList
	p := rules.SpecPath.Child("podManagementPolicy")
	switch s.PodManagementPolicy {
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	case "":
		errs = append(errs, field.Required(p, ""))
	default:
		errs = append(errs, field.Invalid(p, s.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	errs = append(errs, validateStatefulSetUpdateStrategy(&s.UpdateStrategy, rules.SpecPath.Child("updateStrategy"))...)
	if r := s.PersistentVolumeClaimRetentionPolicy; r != nil {
		at := rules.SpecPath.Child("persistentVolumeClaimRetentionPolicy")
		retain, remove := appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
		errs = append(errs, rules.OneOf(r.WhenDeleted, at.Child("whenDeleted"), retain, remove)...)
		errs = append(errs, rules.OneOf(r.WhenScaled, at.Child("whenScaled"), retain, remove)...)
	}
	for i := range s.VolumeClaimTemplates {
		if !skip.update {
			errs = append(errs, podrules.ValidatePersistentVolumeClaimSpec(&s.VolumeClaimTemplates[i].Spec, false,
				rules.SpecPath.Child("volumeClaimTemplates").Index(i).Child("spec"))...)
		}
	}
	errs = append(errs, rules.NonNegative(int64(ptr.Deref(s.Replicas, 1)), rules.SpecPath.Child("replicas"))...)
	errs = append(errs, rules.NonNegative(int64(s.MinReadySeconds), rules.SpecPath.Child("minReadySeconds"))...)
	if s.Ordinals != nil {
		errs = append(errs, rules.NonNegative(int64(s.Ordinals.Start), rules.SpecPath.Child("ordinals.start"))...)
	}
	if !skip.update {
		errs = append(errs, rules.OptionalValue(s.ServiceName, rules.SpecPath.Child("serviceName"), validation.IsDNS1123Label)...)
	}
	return append(errs, validateStatefulSetTemplate(s, skip)...)
}

func validateStatefulSetUpdateStrategy(s *appsv1.StatefulSetUpdateStrategy, p *field.Path) field.ErrorList {
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
	errs := rules.NonNegativePtr(s.RollingUpdate.Partition, rolling.Child("partition"))
	if maxUnavailable := s.RollingUpdate.MaxUnavailable; maxUnavailable != nil {
		at := rolling.Child("maxUnavailable")
		errs = append(errs, rules.ValidatePositiveIntOrPercent(*maxUnavailable, at)...)
		if rules.IsZeroIntOrPercent(*maxUnavailable) {
			errs = append(errs, field.Invalid(at, *maxUnavailable, "cannot be 0"))
		}
		errs = append(errs, rules.IsNotMoreThan100Percent(*maxUnavailable, at)...)
	}
	return errs
}

// validateStatefulSetTemplate validates the selector, the template and the claim templates.
func validateStatefulSetTemplate(s *appsv1.StatefulSetSpec, skip setValidation) field.ErrorList {
	selector, errs := validateSetSelector(s.Selector, "empty selector is invalid for statefulset")
	p := rules.SpecPath.Child("template")
	if selector == nil {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("selector"), s.Selector, ""))
	} else {
		errs = append(errs, podrules.ValidateSelectorMatchesTemplate(selector, &s.Template, p)...)
		t := templateOfPods(s)
		if !skip.badTemplate {
			errs = append(errs, podrules.ValidatePodTemplateSpec(t, p)...)
		}
		errs = append(errs, podrules.ValidateTemplateMeta(t, p)...) // again, as upstream
	}
	return append(errs, podrules.ValidateRestartPolicyAlways(&s.Template, "StatefulSet", p)...)
}

// templateOfPods returns the template as the controller makes pods of it: with their own host names, and a volume for
// each claim, which replaces one of the same name.
func templateOfPods(s *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	if len(s.VolumeClaimTemplates) == 0 && s.Template.Spec.Subdomain == "" && s.Template.Spec.Hostname == "" {
		return &s.Template
	}
	t := s.Template.DeepCopy()
	t.Spec.Subdomain, t.Spec.Hostname = "", ""
	if len(s.VolumeClaimTemplates) == 0 {
		return t
	}
	own := map[string]bool{}
	var volumes []corev1.Volume
	for i := range s.VolumeClaimTemplates {
		name := s.VolumeClaimTemplates[i].Name
		if own[name] {
			continue
		}
		own[name] = true
		volumes = append(volumes, corev1.Volume{
			Name:         name,
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}},
		})
	}
	for i := range t.Spec.Volumes {
		if !own[t.Spec.Volumes[i].Name] {
			volumes = append(volumes, t.Spec.Volumes[i])
		}
	}
	t.Spec.Volumes = volumes
	return t
}

// validateStatefulSetUpdate validates an update. What makes the identity of the pods (names, claims, service) is
// immutable.
func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	skip := setValidation{update: true}
	skip.badTemplate = len(validateStatefulSetSpec(&old.Spec, skip)) > 0
	errs := append(rules.ValidateObjectMetaUpdate(&s.ObjectMeta, &old.ObjectMeta), validateStatefulSetSpec(&s.Spec, skip)...)
	rest := s.Spec
	rest.Replicas = old.Spec.Replicas
	rest.Ordinals = old.Spec.Ordinals
	rest.Template = old.Spec.Template
	rest.UpdateStrategy = old.Spec.UpdateStrategy
	rest.RevisionHistoryLimit = old.Spec.RevisionHistoryLimit
	rest.PersistentVolumeClaimRetentionPolicy = old.Spec.PersistentVolumeClaimRetentionPolicy
	rest.MinReadySeconds = old.Spec.MinReadySeconds
	if !rules.Equal(rest, old.Spec) {
		errs = append(errs, field.Forbidden(rules.SpecPath, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
			"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
}

func validateStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	var errs field.ErrorList
	st := &s.Status
	errs = append(errs, rules.NonNegativeCounts(
		rules.Count("replicas", st.Replicas),
		rules.Count("readyReplicas", st.ReadyReplicas),
		rules.Count("currentReplicas", st.CurrentReplicas),
		rules.Count("updatedReplicas", st.UpdatedReplicas),
		rules.Count("availableReplicas", st.AvailableReplicas),
		rules.Count("observedGeneration", st.ObservedGeneration),
	)...)
	errs = append(errs, rules.NonNegativePtr(st.CollisionCount, rules.StatusPath.Child("collisionCount"))...)
	errs = append(errs, rules.NotGreater(st.Replicas, "cannot be greater than status.replicas",
		rules.Count("readyReplicas", st.ReadyReplicas), rules.Count("currentReplicas", st.CurrentReplicas),
		rules.Count("updatedReplicas", st.UpdatedReplicas), rules.Count("availableReplicas", st.AvailableReplicas))...)
	errs = append(errs, rules.NotGreater(st.ReadyReplicas, "cannot be greater than status.readyReplicas",
		rules.Count("availableReplicas", st.AvailableReplicas))...)
	errs = append(errs, rules.ValidateObjectMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)...)
	return append(errs, validateCollisionCount(st.CollisionCount, old.Status.CollisionCount)...)
}
