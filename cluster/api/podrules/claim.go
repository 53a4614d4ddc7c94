package podrules

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// ValidatePersistentVolumeClaimSpec validates the spec of a claim or of the template of one.
func ValidatePersistentVolumeClaimSpec(s *corev1.PersistentVolumeClaimSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(p.Child("accessModes"), "at least 1 access mode is required"))
	}
	errs = append(errs, ValidateLabelSelector(s.Selector, p.Child("selector"))...)
	errs = append(errs, ValidateAccessModes(s.AccessModes, p.Child("accessModes"))...)
	at := p.Child("resources").Key(string(corev1.ResourceStorage))
	if q, ok := s.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(at, ""))
	} else if bad := ValidateResourceQuantityValue(corev1.ResourceStorage, q, at); len(bad) > 0 {
		errs = append(errs, bad...)
	} else if q.Sign() <= 0 {
		errs = append(errs, field.Invalid(at, q.String(), NotPositive))
	}
	if c := s.StorageClassName; c != nil && *c != "" {
		errs = append(errs, rules.Invalid(p.Child("storageClassName"), *c, rules.DNSSubdomain(*c, false))...)
	}
	errs = append(errs, rules.OptionalOneOf(s.VolumeMode, p.Child("volumeMode"), VolumeModes...)...)
	if d := s.DataSource; d != nil {
		errs = append(errs, rules.Required(d.Name, p.Child("dataSource", "name"))...)
		errs = append(errs, rules.Required(d.Kind, p.Child("dataSource", "kind"))...)
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
	alone := false
	for _, m := range modes {
		errs = append(errs, rules.OneOf(m, p, supportedAccessModes...)...)
		alone = alone || m == corev1.ReadWriteOncePod
	}
	if alone && len(modes) > 1 {
		errs = append(errs, field.Forbidden(p, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}
