package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// PersistentVolumeClaims is the kind PersistentVolumeClaim: a request for a persistent volume.
var PersistentVolumeClaims = &api.Kind{
	GroupVersionKind: api.GVK("", "v1", "PersistentVolumeClaim"),
	Plural:           "persistentvolumeclaims", Singular: "persistentvolumeclaim", Short: []string{"pvc"}, Namespaced: true,
	HasStatus: true,
	New:       func() api.Object { return &corev1.PersistentVolumeClaim{} },
	NewList:   func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },

	Default: rules.Mutate(func(c *corev1.PersistentVolumeClaim) {
		rules.SetDefault(&c.Status.Phase, corev1.ClaimPending)
		rules.SetDefaultPtr(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}),
	PrepareCreate: rules.Mutate(func(c *corev1.PersistentVolumeClaim) {
		c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	}),
	PrepareUpdate: rules.MutateUpdate(func(c, old *corev1.PersistentVolumeClaim) { c.Status = old.Status }),
	PrepareStatus: rules.MutateUpdate(func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec }),

	Validate: rules.Typed(func(c *corev1.PersistentVolumeClaim) field.ErrorList {
		return append(rules.ValidateObjectMeta(&c.ObjectMeta, true, rules.DNSSubdomain), podrules.ValidatePersistentVolumeClaimSpec(&c.Spec, rules.SpecPath)...)
	}),
	ValidateUpdate: rules.TypedUpdate(validateClaimUpdate),
	ValidateStatus: rules.TypedUpdate(func(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
		for n, q := range c.Status.Capacity {
			errs = append(errs, podrules.ValidateResourceQuantityValue(n, q, rules.StatusPath.Child("capacity").Key(string(n)))...)
		}
		return errs
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Status", "string", 0, "Pending, Bound or Lost."),
		rules.Column("Volume", "string", 0, "The volume that the claim is bound to."),
		rules.Column("Capacity", "string", 0, "Capacity of the volume."),
		rules.Column("Access Modes", "string", 0, "Supported access modes."),
		rules.Column("StorageClass", "string", 0, "The storage class."),
		rules.Column("VolumeAttributesClass", "string", 0, "The VolumeAttributesClass."),
		rules.AgeColumn,
		rules.Column("VolumeMode", "string", 1, "Filesystem or Block."),
	},
	Row: rules.Typed(func(c *corev1.PersistentVolumeClaim) []any {
		phase := string(c.Status.Phase)
		if c.DeletionTimestamp != nil {
			phase = "Terminating"
		}
		capacity, modes := "", ""
		if c.Spec.VolumeName != "" {
			capacity, modes = storage(c.Status.Capacity), formatAccessModes(c.Status.AccessModes)
		}
		class := ""
		if v, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
			class = v
		} else if c.Spec.StorageClassName != nil {
			class = *c.Spec.StorageClassName
		}
		return []any{
			c.Name, phase, c.Spec.VolumeName, capacity, modes, class, orUnset(c.Spec.VolumeAttributesClassName),
			rules.Age(c.CreationTimestamp), orUnset(c.Spec.VolumeMode),
		}
	}),
	Fields: rules.Typed(func(c *corev1.PersistentVolumeClaim) fields.Set { return fields.Set{"name": c.Name} }),
}

// validateClaimUpdate validates an update. The spec is immutable, except that the volume and a default class can
// be set once, and that a bound claim can grow.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, podrules.ValidatePersistentVolumeClaimSpec(&c.Spec, rules.SpecPath)...)
	rest, before := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if before.VolumeName == "" {
		before.VolumeName = rest.VolumeName
	}
	if before.StorageClassName == nil && rest.StorageClassName != nil && old.Annotations[corev1.BetaStorageClassAnnotation] == "" {
		before.StorageClassName = rest.StorageClassName
	}
	if old.Status.Phase == corev1.ClaimBound {
		rest.Resources.Requests = before.Resources.Requests
		rest.VolumeAttributesClassName = before.VolumeAttributesClassName
	}
	if !rules.Equal(rest, before) {
		return append(errs, field.Forbidden(rules.SpecPath,
			"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(before, rest)))
	}
	was, is := old.Spec.Resources.Requests[corev1.ResourceStorage], c.Spec.Resources.Requests[corev1.ResourceStorage]
	has := old.Status.Capacity[corev1.ResourceStorage]
	if is.Cmp(was) < 0 && is.Cmp(has) <= 0 {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	return errs
}
