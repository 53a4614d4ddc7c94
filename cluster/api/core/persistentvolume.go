package core

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// PersistentVolumes is the kind PersistentVolume: storage that is independent of pods.
var PersistentVolumes = api.Of[corev1.PersistentVolume, corev1.PersistentVolumeList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "PersistentVolume"),
	Plural:           "persistentvolumes", Singular: "persistentvolume", Short: []string{"pv"},
	HasStatus: true,

	Default: rules.Mutate(func(v *corev1.PersistentVolume) {
		rules.SetDefault(&v.Status.Phase, corev1.VolumePending)
		rules.SetDefault(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
		rules.SetDefaultPtr(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		if v.Spec.HostPath != nil {
			rules.SetDefaultPtr(&v.Spec.HostPath.Type, corev1.HostPathUnset)
		}
	}),
	PrepareCreate: rules.Mutate(func(v *corev1.PersistentVolume) {
		now := metav1.Now()
		v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
	}),
	PrepareUpdate: rules.MutateUpdate(func(v, old *corev1.PersistentVolume) { v.Status = old.Status }),
	PrepareStatus: rules.MutateUpdate(func(v, old *corev1.PersistentVolume) {
		v.Spec = old.Spec
		// A writer may set the time itself.
		at := v.Status.LastPhaseTransitionTime
		if v.Status.Phase != old.Status.Phase && (at == nil || rules.Equal(at, old.Status.LastPhaseTransitionTime)) {
			now := metav1.Now()
			v.Status.LastPhaseTransitionTime = &now
		}
	}),

	Validate: rules.Typed(validatePersistentVolume),
	ValidateUpdate: rules.TypedUpdate(func(v, old *corev1.PersistentVolume) field.ErrorList {
		errs := append(validatePersistentVolume(v), validatePersistentVolume(v)...) // upstream's two steps have both
		if old.Spec.CSI != nil && old.Spec.CSI.ControllerExpandSecretRef == nil && v.Spec.CSI != nil && v.Spec.CSI.ControllerExpandSecretRef != nil {
			v = v.DeepCopy() // it may be set once
			v.Spec.CSI.ControllerExpandSecretRef = nil
		}
		if !rules.Equal(v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource) {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("persistentvolumesource"),
				"spec.persistentvolumesource is immutable after creation\n"+diff.Diff(old.Spec.PersistentVolumeSource, v.Spec.PersistentVolumeSource)))
		}
		errs = append(errs, rules.Immutable(v.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
		if old.Spec.NodeAffinity != nil {
			errs = append(errs, validateNodeAffinityUpdate(v.Spec.NodeAffinity, old.Spec.NodeAffinity, field.NewPath("nodeAffinity"))...)
		}
		if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
			errs = append(errs, field.Forbidden(rules.SpecPath.Child("volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
		}
		return errs
	}),
	ValidateStatus: rules.TypedUpdate(func(v, old *corev1.PersistentVolume) field.ErrorList {
		return rules.ValidateObjectMetaUpdate(&v.ObjectMeta, &old.ObjectMeta)
	}),

	Warn: rules.Typed(volumeWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Capacity", "string", 0, rules.Doc(corev1.PersistentVolumeSpec{}, "capacity")),
		rules.Column("Access Modes", "string", 0, rules.Doc(corev1.PersistentVolumeSpec{}, "accessModes")),
		rules.Column("Reclaim Policy", "string", 0, rules.Doc(corev1.PersistentVolumeSpec{}, "persistentVolumeReclaimPolicy")),
		rules.Column("Status", "string", 0, rules.Doc(corev1.PersistentVolumeStatus{}, "phase")),
		rules.Column("Claim", "string", 0, rules.Doc(corev1.PersistentVolumeSpec{}, "claimRef")),
		rules.Column("StorageClass", "string", 0, "StorageClass of the pv"),
		rules.Column("VolumeAttributesClass", "string", 0, "VolumeAttributesClass of the pv"),
		rules.Column("Reason", "string", 0, rules.Doc(corev1.PersistentVolumeStatus{}, "reason")),
		rules.AgeColumn,
		rules.Column("VolumeMode", "string", 1, rules.Doc(corev1.PersistentVolumeSpec{}, "volumeMode")),
	},
	Row: rules.Typed(func(v *corev1.PersistentVolume) []any {
		claim := ""
		if r := v.Spec.ClaimRef; r != nil {
			claim = r.Namespace + "/" + r.Name
		}
		phase := string(v.Status.Phase)
		if v.DeletionTimestamp != nil {
			phase = "Terminating"
		}
		class := v.Spec.StorageClassName
		if c, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
			class = c
		}
		return []any{
			v.Name, storage(v.Spec.Capacity), formatAccessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim,
			class, orUnset(v.Spec.VolumeAttributesClassName), v.Status.Reason, rules.Age(v.CreationTimestamp), orUnset(v.Spec.VolumeMode),
		}
	}),
})

func storage(l corev1.ResourceList) string {
	q := l[corev1.ResourceStorage]
	return q.String()
}

func orUnset[T ~string](s *T) string {
	if s == nil {
		return "<unset>"
	}
	return string(*s)
}

// formatAccessModes returns the short names of the modes, without duplicates.
func formatAccessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		for _, have := range modes {
			if have == m.mode {
				out = append(out, m.short)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

func validatePersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	errs := rules.ValidateObjectMeta(&v.ObjectMeta, false, rules.DNSSubdomain)
	s := &v.Spec
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(rules.SpecPath.Child("accessModes"), ""))
	}
	errs = append(errs, podrules.ValidateAccessModes(s.AccessModes, rules.SpecPath.Child("accessModes"))...)
	capacity := rules.SpecPath.Child("capacity")
	if len(s.Capacity) == 0 {
		errs = append(errs, field.Required(capacity, ""))
	}
	if _, ok := s.Capacity[corev1.ResourceStorage]; !ok || len(s.Capacity) > 1 {
		errs = append(errs, field.NotSupported(capacity, s.Capacity, []string{string(corev1.ResourceStorage)}))
	}
	for n, q := range s.Capacity {
		errs = append(errs, podrules.ValidateBasicResource(q, capacity.Key(string(n)))...)
		if q.Sign() <= 0 {
			errs = append(errs, field.Invalid(capacity.Key(string(n)), q.String(), podrules.NotPositive))
		}
	}
	if s.PersistentVolumeReclaimPolicy != "" {
		errs = append(errs, rules.OneOf(s.PersistentVolumeReclaimPolicy, rules.SpecPath.Child("persistentVolumeReclaimPolicy"),
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if s.NodeAffinity != nil {
		if at := rules.SpecPath.Child("nodeAffinity", "required"); s.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(at, "must specify required node constraints"))
		} else {
			errs = append(errs, podrules.ValidateNodeSelector(s.NodeAffinity.Required, at)...)
		}
	}
	errs = append(errs, validatePersistentSource(s, v.Name)...)
	if s.HostPath != nil && path.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
	}
	errs = append(errs, rules.OptionalValue(s.StorageClassName, rules.SpecPath.Child("storageClassName"), validation.IsDNS1123Subdomain)...)
	errs = append(errs, rules.OptionalOneOf(s.VolumeMode, rules.SpecPath.Child("volumeMode"), podrules.VolumeModes...)...)
	if class := s.VolumeAttributesClassName; class != nil {
		at := rules.SpecPath.Child("volumeAttributesClassName")
		if *class == "" {
			errs = append(errs, field.Required(at, "an empty string is disallowed"))
		} else {
			errs = append(errs, rules.Invalid(at, *class, validation.IsDNS1123Subdomain(*class))...)
		}
		if s.CSI == nil {
			errs = append(errs, field.Required(rules.SpecPath.Child("csi"), "has to be specified when using volumeAttributesClassName"))
		}
	}
	return errs
}
