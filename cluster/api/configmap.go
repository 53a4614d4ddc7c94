package api

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigMaps holds settings that pods read as environment or as files.
var ConfigMaps = &Kind{
	GroupVersionKind: gvk("", "v1", "ConfigMap"),
	Plural:           "configmaps", Singular: "configmap", Short: []string{"cm"}, Namespaced: true,
	New:     func() Object { return &corev1.ConfigMap{} },
	NewList: func() runtime.Object { return &corev1.ConfigMapList{} },

	Validate: as(checkConfigMap),
	ValidateUpdate: as2(func(c, old *corev1.ConfigMap) field.ErrorList {
		errs := checkMetaUpdate(&c.ObjectMeta, &old.ObjectMeta)
		if isTrue(old.Immutable) {
			errs = append(errs, checkStaysImmutable(c.Immutable)...)
			if !same(c.Data, old.Data) {
				errs = append(errs, field.Forbidden(field.NewPath("data"), immutableSet))
			}
			if !same(c.BinaryData, old.BinaryData) {
				errs = append(errs, field.Forbidden(field.NewPath("binaryData"), immutableSet))
			}
		}
		return append(errs, checkConfigMap(c)...)
	}),

	Columns: []metav1.TableColumnDefinition{nameColumn, col("Data", "string", 0, "Number of keys."), ageColumn},
	Row: as(func(c *corev1.ConfigMap) []any {
		return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), age(c.CreationTimestamp)}
	}),
}

func checkConfigMap(c *corev1.ConfigMap) field.ErrorList {
	errs := checkMeta(&c.ObjectMeta, true, dnsSubdomain)
	data, binary := field.NewPath("data"), field.NewPath("binaryData")
	total := 0
	for k, v := range c.Data {
		errs = append(errs, invalid(data.Key(k), k, validation.IsConfigMapKey(k))...)
		if _, both := c.BinaryData[k]; both {
			errs = append(errs, field.Invalid(data.Key(k), k, "duplicate of key present in binaryData"))
		}
		total += len(v)
	}
	for k, v := range c.BinaryData {
		errs = append(errs, invalid(binary.Key(k), k, validation.IsConfigMapKey(k))...)
		total += len(v)
	}
	if total > corev1.MaxSecretSize {
		// The message names no field, since both maps count.
		errs = append(errs, field.TooLong(field.NewPath(""), "", corev1.MaxSecretSize))
	}
	return errs
}
