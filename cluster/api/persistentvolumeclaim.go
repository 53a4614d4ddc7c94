package api

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolumeClaims asks for a persistent volume.
var PersistentVolumeClaims = &Kind{
	GroupVersionKind: gvk("", "v1", "PersistentVolumeClaim"),
	Plural:           "persistentvolumeclaims", Singular: "persistentvolumeclaim", Short: []string{"pvc"}, Namespaced: true,
	HasStatus: true,
	New:       func() Object { return &corev1.PersistentVolumeClaim{} },
	NewList:   func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },

	Default: do(func(c *corev1.PersistentVolumeClaim) {
		setDefault(&c.Status.Phase, corev1.ClaimPending)
		setDefaultPtr(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}),
	PrepareCreate: do(func(c *corev1.PersistentVolumeClaim) {
		c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
	}),
	PrepareUpdate: do2(func(c, old *corev1.PersistentVolumeClaim) { c.Status = old.Status }),
	PrepareStatus: do2(func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec }),

	Validate: as(func(c *corev1.PersistentVolumeClaim) field.ErrorList {
		return append(checkMeta(&c.ObjectMeta, true, dnsSubdomain), checkClaimSpec(&c.Spec, specPath)...)
	}),
	ValidateUpdate: as2(checkClaimUpdate),
	ValidateStatus: as2(func(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
		errs := checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
		for n, q := range c.Status.Capacity {
			errs = append(errs, checkQuantity(n, q, statusPath.Child("capacity").Key(string(n)))...)
		}
		return errs
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Status", "string", 0, "Pending, Bound or Lost."),
		col("Volume", "string", 0, "The volume it has."),
		col("Capacity", "string", 0, "How much that holds."),
		col("Access Modes", "string", 0, "How it can be mounted."),
		col("StorageClass", "string", 0, "The storage class asked for."),
		col("VolumeAttributesClass", "string", 0, "The attributes class asked for."),
		ageColumn,
		col("VolumeMode", "string", 1, "Filesystem or Block."),
	},
	Row: as(func(c *corev1.PersistentVolumeClaim) []any {
		phase := string(c.Status.Phase)
		if c.DeletionTimestamp != nil {
			phase = "Terminating"
		}
		capacity, modes := "", ""
		if c.Spec.VolumeName != "" {
			capacity, modes = storage(c.Status.Capacity), accessModes(c.Status.AccessModes)
		}
		class := ""
		if v, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
			class = v
		} else if c.Spec.StorageClassName != nil {
			class = *c.Spec.StorageClassName
		}
		return []any{
			c.Name, phase, c.Spec.VolumeName, capacity, modes, class, unsetIfNil(c.Spec.VolumeAttributesClassName),
			age(c.CreationTimestamp), unsetIfNil(c.Spec.VolumeMode),
		}
	}),
	Fields: as(func(c *corev1.PersistentVolumeClaim) fields.Set { return fields.Set{"name": c.Name} }),
}

func checkClaimSpec(s *corev1.PersistentVolumeClaimSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(p.Child("accessModes"), "at least 1 access mode is required"))
	}
	errs = append(errs, checkSelector(s.Selector, p.Child("selector"))...)
	errs = append(errs, checkAccessModes(s.AccessModes, p.Child("accessModes"))...)
	at := p.Child("resources").Key(string(corev1.ResourceStorage))
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(at, ""))
	} else if bad := checkQuantity(corev1.ResourceStorage, q, at); len(bad) > 0 {
		errs = append(errs, bad...)
	} else if q.Sign() <= 0 {
		errs = append(errs, field.Invalid(at, q.String(), notPositive))
	}
	if c := s.StorageClassName; c != nil && *c != "" {
		errs = append(errs, invalid(p.Child("storageClassName"), *c, dnsSubdomain(*c, false))...)
	}
	if s.VolumeMode != nil {
		errs = append(errs, oneOf(*s.VolumeMode, p.Child("volumeMode"), volumeModes...)...)
	}
	if d := s.DataSource; d != nil {
		if d.Name == "" {
			errs = append(errs, field.Required(p.Child("dataSource", "name"), ""))
		}
		if d.Kind == "" {
			errs = append(errs, field.Required(p.Child("dataSource", "kind"), ""))
		}
	}
	return errs
}

// checkClaimUpdate: a claim stays as asked; it is given a volume once, a default class
// once, and may grow when bound.
func checkClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, checkClaimSpec(&c.Spec, specPath)...)
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
	if !same(rest, before) {
		return append(errs, field.Forbidden(specPath,
			"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(before, rest)))
	}
	was, is := old.Spec.Resources.Requests[corev1.ResourceStorage], c.Spec.Resources.Requests[corev1.ResourceStorage]
	has := old.Status.Capacity[corev1.ResourceStorage]
	if is.Cmp(was) < 0 && is.Cmp(has) <= 0 {
		errs = append(errs, field.Forbidden(specPath.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	return errs
}
