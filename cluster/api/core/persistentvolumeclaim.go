package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// PersistentVolumeClaims is the kind PersistentVolumeClaim: a request for a persistent volume.
var PersistentVolumeClaims = api.Of[corev1.PersistentVolumeClaim, corev1.PersistentVolumeClaimList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "PersistentVolumeClaim"),
	Plural:           "persistentvolumeclaims", Singular: "persistentvolumeclaim", Short: []string{"pvc"}, Namespaced: true,
	HasStatus: true,

	Default: rules.Mutate(func(c *corev1.PersistentVolumeClaim) {
		rules.SetDefault(&c.Status.Phase, corev1.ClaimPending)
		rules.SetDefaultPtr(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}),
	PrepareCreate: rules.Mutate(func(c *corev1.PersistentVolumeClaim) {
		c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
		prepareDataSources(&c.Spec, &corev1.PersistentVolumeClaimSpec{})
	}),
	PrepareUpdate: rules.MutateUpdate(func(c, old *corev1.PersistentVolumeClaim) {
		c.Status = old.Status
		prepareDataSources(&c.Spec, &old.Spec)
	}),
	PrepareStatus: rules.MutateUpdate(func(c, old *corev1.PersistentVolumeClaim) { c.Spec = old.Spec }),

	Validate: rules.Typed(func(c *corev1.PersistentVolumeClaim) field.ErrorList {
		return append(rules.ValidateObjectMeta(&c.ObjectMeta, true, rules.DNSSubdomain), podrules.ValidatePersistentVolumeClaimSpec(&c.Spec, false, rules.SpecPath)...)
	}),
	ValidateUpdate: rules.TypedUpdate(validateClaimUpdate),
	ValidateStatus: rules.TypedUpdate(validateClaimStatus),

	Warn: rules.Typed(claimWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Status", "string", 0, rules.Doc(corev1.PersistentVolumeClaimStatus{}, "phase")),
		rules.Column("Volume", "string", 0, rules.Doc(corev1.PersistentVolumeClaimSpec{}, "volumeName")),
		rules.Column("Capacity", "string", 0, rules.Doc(corev1.PersistentVolumeClaimStatus{}, "capacity")),
		rules.Column("Access Modes", "string", 0, rules.Doc(corev1.PersistentVolumeClaimStatus{}, "accessModes")),
		rules.Column("StorageClass", "string", 0, "StorageClass of the pvc"),
		rules.Column("VolumeAttributesClass", "string", 0, "VolumeAttributesClass of the pvc"),
		rules.AgeColumn,
		rules.Column("VolumeMode", "string", 1, rules.Doc(corev1.PersistentVolumeClaimSpec{}, "volumeMode")),
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
})

// prepareDataSources gives both fields for the source of a volume's content the same value. A
// dataSource of another kind than claims and snapshots is dropped, as it was before dataSourceRef.
func prepareDataSources(s, old *corev1.PersistentVolumeClaimSpec) {
	if source := s.DataSource; source != nil && s.DataSourceRef == nil && old.DataSource == nil && old.DataSourceRef == nil {
		group := ptr.Deref(source.APIGroup, "")
		if !(source.Kind == "PersistentVolumeClaim" && group == "") && !(source.Kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io") {
			s.DataSource = nil
		}
	}
	switch source, ref := s.DataSource, s.DataSourceRef; {
	case source != nil && ref == nil:
		s.DataSourceRef = &corev1.TypedObjectReference{APIGroup: source.APIGroup, Kind: source.Kind, Name: source.Name}
	case source == nil && ref != nil && ptr.Deref(ref.Namespace, "") == "":
		s.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

// validateClaimUpdate validates an update. The spec is immutable, except that the volume and a default class can
// be set once, and that a bound claim can grow.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, rules.ValidateObjectMeta(&c.ObjectMeta, true, rules.DNSSubdomain)...)
	anyGroup := old.Spec.DataSource != nil && old.Spec.DataSource.APIGroup != nil || old.Spec.DataSourceRef != nil && old.Spec.DataSourceRef.APIGroup != nil
	errs = append(errs, podrules.ValidatePersistentVolumeClaimSpec(&c.Spec, anyGroup, rules.SpecPath)...)
	rest, before := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if before.VolumeName == "" {
		before.VolumeName = rest.VolumeName
	}
	errs = append(errs, validateClassUpdate(c, old, rest)...)
	if old.Status.Phase == corev1.ClaimBound {
		if rest.Resources.Requests != nil {
			rest.Resources.Requests[corev1.ResourceStorage] = old.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		rest.VolumeAttributesClassName = before.VolumeAttributesClassName
	}
	if !rules.Equal(rest, before) {
		errs = append(errs, field.Forbidden(rules.SpecPath,
			"spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(before, rest)))
	}
	was, is := old.Spec.Resources.Requests[corev1.ResourceStorage], c.Spec.Resources.Requests[corev1.ResourceStorage]
	has := old.Status.Capacity[corev1.ResourceStorage]
	if is.Cmp(was) < 0 && is.Cmp(has) <= 0 {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	errs = append(errs, rules.Immutable(c.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if class := c.Spec.VolumeAttributesClassName; old.Status.CurrentVolumeAttributesClassName != nil && !ptr.Equal(class, old.Spec.VolumeAttributesClassName) {
		at, what := rules.SpecPath.Child("volumeAttributesClassName"), ""
		switch {
		case class == nil:
			what = "nil"
		case *class == "":
			what = "empty string"
		default:
			return errs
		}
		errs = append(errs, field.Forbidden(at, "update to "+what+" is forbidden when status.currentVolumeAttributesClassName is not nil"))
	}
	return errs
}

// validateClassUpdate validates a change of the storage class, which can be set once: to that of the annotation of old
// manifests, or where there was none. It resets a valid change in rest.
func validateClassUpdate(c, old *corev1.PersistentVolumeClaim, rest *corev1.PersistentVolumeClaimSpec) field.ErrorList {
	was, had := old.Annotations[corev1.BetaStorageClassAnnotation]
	is, has := c.Annotations[corev1.BetaStorageClassAnnotation]
	class := c.Spec.StorageClassName
	first := old.Spec.StorageClassName == nil && class != nil
	if first && had && *class == was && (!has || is == was) {
		rest.StorageClassName = nil
		return nil
	}
	var errs field.ErrorList
	if is != was {
		errs = append(errs, field.Invalid(rules.MetadataPath.Child("annotations", corev1.BetaStorageClassAnnotation), is, "field is immutable"))
	}
	if first && (!had || *class == was) {
		rest.StorageClassName = nil
	}
	return errs
}

var claimResizeStatuses = []corev1.ClaimResourceStatus{
	corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
	corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible, corev1.PersistentVolumeClaimNodeResizePending,
}

func validateClaimStatus(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
	for n, q := range c.Status.Capacity {
		errs = append(errs, podrules.ValidateBasicResource(q, rules.StatusPath.Child("capacity").Key(string(n)))...)
	}
	at := rules.StatusPath.Child("allocatedResourceStatuses")
	for n, s := range c.Status.AllocatedResourceStatuses {
		errs = append(errs, validateClaimResource(n, at)...)
		if !slices.Contains(claimResizeStatuses, s) {
			errs = append(errs, field.NotSupported(at, n, claimResizeStatuses)) // the name in the place of the value, as upstream
		}
	}
	at = rules.StatusPath.Child("allocatedResources")
	for n, q := range c.Status.AllocatedResources {
		if bad := validateClaimResource(n, at); len(bad) > 0 {
			errs = append(errs, bad...)
			continue
		}
		errs = append(errs, podrules.ValidateBasicResource(q, at.Key(string(n)))...)
	}
	return errs
}

// validateClaimResource validates the name of a resource in a claim's status. The only one of Kubernetes is storage.
func validateClaimResource(n corev1.ResourceName, p *field.Path) field.ErrorList {
	if errs := rules.Invalid(p, string(n), validation.IsQualifiedName(string(n))); len(errs) > 0 {
		return errs
	}
	if podrules.IsNativeResource(n) {
		return rules.OneOf(n, p, corev1.ResourceStorage)
	}
	return nil
}
