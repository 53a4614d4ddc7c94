package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// ConfigMaps is the kind ConfigMap: configuration data in keys.
var ConfigMaps = api.Of[corev1.ConfigMap, corev1.ConfigMapList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "ConfigMap"),
	Plural:           "configmaps", Singular: "configmap", Short: []string{"cm"}, Namespaced: true,

	Validate: rules.Typed(validateConfigMap),
	ValidateUpdate: rules.TypedUpdate(func(c, old *corev1.ConfigMap) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
		if ptr.Deref(old.Immutable, false) {
			errs = append(errs, validateImmutableFlag(c.Immutable)...)
			if !rules.Equal(c.Data, old.Data) {
				errs = append(errs, field.Forbidden(field.NewPath("data"), immutableSet))
			}
			if !rules.Equal(c.BinaryData, old.BinaryData) {
				errs = append(errs, field.Forbidden(field.NewPath("binaryData"), immutableSet))
			}
		}
		return append(errs, validateConfigMap(c)...)
	}),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.Column("Data", "string", 0, rules.Doc(corev1.ConfigMap{}, "data")), rules.AgeColumn},
	Row: rules.Typed(func(c *corev1.ConfigMap) []any {
		return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), rules.Age(c.CreationTimestamp)}
	}),
})

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	errs := rules.ValidateObjectMeta(&c.ObjectMeta, true, rules.DNSSubdomain)
	data, binary := field.NewPath("data"), field.NewPath("binaryData")
	total := 0
	for k, v := range c.Data {
		errs = append(errs, rules.Invalid(data.Key(k), k, validation.IsConfigMapKey(k))...)
		if _, both := c.BinaryData[k]; both {
			errs = append(errs, field.Invalid(data.Key(k), k, "duplicate of key present in binaryData"))
		}
		total += len(v)
	}
	for k, v := range c.BinaryData {
		errs = append(errs, rules.Invalid(binary.Key(k), k, validation.IsConfigMapKey(k))...)
		total += len(v)
	}
	if total > corev1.MaxSecretSize {
		// The error has no field, since both maps count.
		errs = append(errs, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return errs
}
