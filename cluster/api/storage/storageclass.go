// Package storage has the kinds of the group storage.k8s.io.
package storage

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	storagev1beta1 "k8s.io/api/storage/v1beta1"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// StorageClasses is the kind StorageClass: a provisioner of volumes and its parameters.
var StorageClasses = api.Of[storagev1.StorageClass, storagev1.StorageClassList](&api.Kind{
	GroupVersionKind: api.GVK(storagev1.GroupName, "v1", "StorageClass"),
	Plural:           "storageclasses", Singular: "storageclass", Short: []string{"sc"},
	Versions: []api.Version{api.Retired[*storagev1beta1.StorageClass, *storagev1.StorageClass]{}.Version()},

	Default: rules.Mutate(func(s *storagev1.StorageClass) {
		rules.SetDefaultPtr(&s.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
		rules.SetDefaultPtr(&s.VolumeBindingMode, storagev1.VolumeBindingImmediate)
	}),
	Validate: rules.Typed(validateStorageClass),
	ValidateUpdate: rules.TypedUpdate(func(s, old *storagev1.StorageClass) field.ErrorList {
		errs := append(validateStorageClass(s), rules.ValidateObjectMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)...)
		errs = append(errs, rules.Immutable(s.Parameters, old.Parameters, field.NewPath("parameters"))...)
		errs = append(errs, rules.Immutable(s.Provisioner, old.Provisioner, field.NewPath("provisioner"))...)
		errs = append(errs, rules.Immutable(s.ReclaimPolicy, old.ReclaimPolicy, field.NewPath("reclaimPolicy"))...)
		return append(errs, rules.Immutable(s.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
	}),

	Warn: rules.Typed(func(s *storagev1.StorageClass) []string {
		var w podrules.Warnings
		for i, t := range s.AllowedTopologies {
			for k, e := range t.MatchLabelExpressions {
				w.NodeLabel(e.Key, field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(k).Child("key"))
			}
		}
		return w
	}),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Provisioner", "string", 0, rules.Doc(storagev1.StorageClass{}, "provisioner")),
		rules.Column("ReclaimPolicy", "string", 0, rules.Doc(storagev1.StorageClass{}, "reclaimPolicy")),
		rules.Column("VolumeBindingMode", "string", 0, rules.Doc(storagev1.StorageClass{}, "volumeBindingMode")),
		rules.Column("AllowVolumeExpansion", "string", 0, rules.Doc(storagev1.StorageClass{}, "allowVolumeExpansion")),
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
})

func isDefaultClass(m *metav1.ObjectMeta) bool {
	return m.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		m.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

// Bounds of the parameters of a class, as upstream.
const (
	maxParameters     = 512
	maxParameterBytes = 256 << 10
)

func validateStorageClass(s *storagev1.StorageClass) field.ErrorList {
	errs := rules.ValidateObjectMeta(&s.ObjectMeta, false, rules.DNSSubdomain)
	p := field.NewPath("provisioner")
	if s.Provisioner == "" {
		errs = append(errs, field.Required(p, s.Provisioner))
	} else {
		name := strings.ToLower(s.Provisioner)
		errs = append(errs, rules.Invalid(p, name, validation.IsQualifiedName(name))...)
	}
	errs = append(errs, validateParameters(s.Parameters, field.NewPath("parameters"))...)
	if r := ptr.Deref(s.ReclaimPolicy, ""); r != "" {
		errs = append(errs, rules.OneOf(r, field.NewPath("reclaimPolicy"), corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	if mode := field.NewPath("volumeBindingMode"); s.VolumeBindingMode == nil {
		errs = append(errs, field.Required(mode, ""))
	} else {
		errs = append(errs, rules.OneOf(*s.VolumeBindingMode, mode, storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
	}
	return append(errs, validateTopologies(s.AllowedTopologies, field.NewPath("allowedTopologies"))...)
}

func validateParameters(parameters map[string]string, p *field.Path) field.ErrorList {
	if len(parameters) > maxParameters {
		return field.ErrorList{field.TooLong(p, "", maxParameters)}
	}
	var errs field.ErrorList
	size := 0
	for k, v := range parameters {
		if k == "" {
			errs = append(errs, field.Invalid(p, k, "field can not be empty."))
		}
		size += len(k) + len(v)
	}
	if size > maxParameterBytes {
		errs = append(errs, field.TooLong(p, "", maxParameterBytes))
	}
	return errs
}

// maxTopologies bounds the terms, of which each is compared with all others. Upstream has no such bound.
const maxTopologies = 100

// validateTopologies validates the terms, of which no two may be equal.
func validateTopologies(terms []corev1.TopologySelectorTerm, p *field.Path) field.ErrorList {
	if n := len(terms); n > maxTopologies {
		return field.ErrorList{field.TooMany(p, n, maxTopologies)}
	}
	var errs field.ErrorList
	seen := map[string]int{"": len(terms)} // upstream compares an empty term with as many that are not set
	for i := range terms {
		at := p.Index(i).Child("matchLabelExpressions")
		values := map[string][]string{}
		for k, e := range terms[i].MatchLabelExpressions {
			errs = append(errs, validateTopologyRequirement(&e, at.Index(k))...)
			if _, has := values[e.Key]; has {
				errs = append(errs, field.Duplicate(at.Index(k).Child("key"), e.Key))
			}
			own := slices.Clone(e.Values)
			slices.Sort(own)
			values[e.Key] = slices.Compact(own)
		}
		var key strings.Builder
		for _, k := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&key, "%q%q", k, values[k])
		}
		for range seen[key.String()] {
			errs = append(errs, field.Duplicate(at, ""))
		}
		seen[key.String()]++
	}
	return errs
}

func validateTopologyRequirement(e *corev1.TopologySelectorLabelRequirement, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := p.Child("values")
	if len(e.Values) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	seen := map[string]bool{}
	for i, v := range e.Values {
		errs = append(errs, rules.Unique(seen, v, at.Index(i), v)...)
	}
	return append(errs, metav1validation.ValidateLabelName(e.Key, p.Child("key"))...)
}
