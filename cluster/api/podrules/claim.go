package podrules

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/rules"
)

// ValidatePersistentVolumeClaimSpec validates the spec of a claim or of the template of one. With anyGroup the sources may name an
// API group that is no subdomain: the claim has one already.
func ValidatePersistentVolumeClaimSpec(s *corev1.PersistentVolumeClaimSpec, anyGroup bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(p.Child("accessModes"), "at least 1 access mode is required"))
	}
	errs = append(errs, ValidateLabelSelector(s.Selector, p.Child("selector"))...)
	errs = append(errs, ValidateAccessModes(s.AccessModes, p.Child("accessModes"))...)
	at := p.Child("resources").Key(string(corev1.ResourceStorage))
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(at, ""))
	} else if q.Sign() <= 0 {
		errs = append(errs, field.Invalid(at, q.String(), NotPositive))
	}
	errs = append(errs, optionalClass(s.StorageClassName, p.Child("storageClassName"))...)
	errs = append(errs, rules.OptionalOneOf(s.VolumeMode, p.Child("volumeMode"), VolumeModes...)...)
	errs = append(errs, validateDataSources(s, anyGroup, p)...)
	return append(errs, optionalClass(s.VolumeAttributesClassName, p.Child("volumeAttributesClassName"))...)
}

func optionalClass(name *string, p *field.Path) field.ErrorList {
	return rules.OptionalValue(ptr.Deref(name, ""), p, validation.IsDNS1123Subdomain)
}

func validateDataSources(s *corev1.PersistentVolumeClaimSpec, anyGroup bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	source, ref := s.DataSource, s.DataSourceRef
	if source != nil {
		errs = append(errs, validateDataSource(source.Name, source.Kind, source.APIGroup, anyGroup, p.Child("dataSource"))...)
	}
	if ref == nil {
		return errs
	}
	at := p.Child("dataSourceRef")
	errs = append(errs, validateDataSource(ref.Name, ref.Kind, ref.APIGroup, anyGroup, at)...)
	namespace := ptr.Deref(ref.Namespace, "")
	errs = append(errs, rules.OptionalValue(namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
	switch {
	case source == nil:
	case namespace != "":
		errs = append(errs, field.Invalid(p, p.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
	case source.Name != ref.Name || source.Kind != ref.Kind || !ptr.Equal(source.APIGroup, ref.APIGroup):
		errs = append(errs, field.Invalid(p, p.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func validateDataSource(name, kind string, group *string, anyGroup bool, p *field.Path) field.ErrorList {
	errs := append(rules.Required(name, p.Child("name")), rules.Required(kind, p.Child("kind"))...)
	switch {
	case ptr.Deref(group, "") != "":
		if !anyGroup {
			errs = append(errs, rules.Invalid(p.Child("apiGroup"), *group, validation.IsDNS1123Subdomain(*group))...)
		}
	case kind != "PersistentVolumeClaim":
		errs = append(errs, field.Invalid(p, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
	}
	return errs
}

// NotPositive is the error text for a size of zero or less.
const NotPositive = "must be greater than zero"

var (
	supportedAccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}
	// VolumeModes are the modes of volumes and claims.
	VolumeModes = []corev1.PersistentVolumeMode{corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem}
)

// ValidateAccessModes validates the access modes of a volume or claim.
func ValidateAccessModes(modes []corev1.PersistentVolumeAccessMode, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	alone, others := false, false
	for _, m := range modes {
		bad := rules.OneOf(m, p, supportedAccessModes...)
		errs = append(errs, bad...)
		if m == corev1.ReadWriteOncePod {
			alone = true
		} else {
			others = others || len(bad) == 0
		}
	}
	if alone && others {
		errs = append(errs, field.Forbidden(p, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}
