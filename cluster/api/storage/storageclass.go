// Package storage has the kinds of the group storage.k8s.io.
package storage

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// StorageClasses is the kind StorageClass: a provisioner of volumes and its parameters.
var StorageClasses = &api.Kind{
	GroupVersionKind: api.GVK(storagev1.GroupName, "v1", "StorageClass"),
	Plural:           "storageclasses", Singular: "storageclass", Short: []string{"sc"},
	New:     func() api.Object { return &storagev1.StorageClass{} },
	NewList: func() runtime.Object { return &storagev1.StorageClassList{} },

	Default: rules.Mutate(func(s *storagev1.StorageClass) {
		rules.SetDefaultPtr(&s.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		rules.SetDefaultPtr(&s.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	}),
	Validate: rules.Typed(validateStorageClass),
	ValidateUpdate: rules.TypedUpdate(func(s, old *storagev1.StorageClass) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)
		if !rules.Equal(s.Parameters, old.Parameters) {
			errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
		}
		if s.Provisioner != old.Provisioner {
			errs = append(errs, field.Forbidden(field.NewPath("provisioner"), "updates to provisioner are forbidden."))
		}
		if !rules.Equal(s.ReclaimPolicy, old.ReclaimPolicy) {
			errs = append(errs, field.Forbidden(field.NewPath("reclaimPolicy"), "updates to reclaimPolicy are forbidden."))
		}
		errs = append(errs, rules.Immutable(s.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
		return append(errs, validateStorageClass(s)...)
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Provisioner", "string", 0, "The provisioner of the volumes."),
		rules.Column("ReclaimPolicy", "string", 0, "What happens to a volume when its claim is deleted."),
		rules.Column("VolumeBindingMode", "string", 0, "When claims are bound and provisioned."),
		rules.Column("AllowVolumeExpansion", "string", 0, "Whether claims can be expanded."),
		rules.AgeColumn,
	},
	Row: rules.Typed(func(s *storagev1.StorageClass) []any {
		name := s.Name
		if isDefaultClass(&s.ObjectMeta) {
			name += " (default)"
		}
		reclaim, mode := string(corev1.PersistentVolumeReclaimDelete), "<unset>"
		if s.ReclaimPolicy != nil {
			reclaim = string(*s.ReclaimPolicy)
		}
		if s.VolumeBindingMode != nil {
			mode = string(*s.VolumeBindingMode)
		}
		return []any{name, s.Provisioner, reclaim, mode, ptr.Deref(s.AllowVolumeExpansion, false), rules.Age(s.CreationTimestamp)}
	}),
}

func isDefaultClass(m *metav1.ObjectMeta) bool {
	return m.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		m.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

func validateStorageClass(s *storagev1.StorageClass) field.ErrorList {
	errs := rules.ValidateObjectMeta(&s.ObjectMeta, false, rules.DNSSubdomain)
	p := field.NewPath("provisioner")
	if s.Provisioner == "" {
		errs = append(errs, field.Required(p, s.Provisioner))
	} else {
		errs = append(errs, rules.Invalid(p, s.Provisioner, validation.IsQualifiedName(s.Provisioner))...)
	}
	for k := range s.Parameters {
		if k == "" {
			errs = append(errs, field.Invalid(field.NewPath("parameters"), len(k), "field can not be empty."))
		}
	}
	errs = append(errs, rules.OptionalOneOf(s.ReclaimPolicy, field.NewPath("reclaimPolicy"),
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	mode := field.NewPath("volumeBindingMode")
	if s.VolumeBindingMode == nil {
		return append(errs, field.Required(mode, ""))
	}
	return append(errs, rules.OneOf(*s.VolumeBindingMode, mode, storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
}
