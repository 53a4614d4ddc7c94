package api

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Secrets holds keys and small files that not everybody may read.
var Secrets = &Kind{
	GroupVersionKind: gvk("", "v1", "Secret"),
	Plural:           "secrets", Singular: "secret", Namespaced: true,
	New:     func() Object { return &corev1.Secret{} },
	NewList: func() runtime.Object { return &corev1.SecretList{} },

	Default: do(func(s *corev1.Secret) {
		// stringData is for writing only: it wins over data, and is never stored.
		if len(s.StringData) > 0 {
			if s.Data == nil {
				s.Data = make(map[string][]byte, len(s.StringData))
			}
			for k, v := range s.StringData {
				s.Data[k] = []byte(v)
			}
			s.StringData = nil
		}
		setDefault(&s.Type, corev1.SecretTypeOpaque)
	}),
	PrepareUpdate: do2(func(s, old *corev1.Secret) {
		if s.Type == "" {
			s.Type = old.Type
		}
	}),

	Validate: as(checkSecret),
	ValidateUpdate: as2(func(s, old *corev1.Secret) field.ErrorList {
		errs := checkMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)
		errs = append(errs, immutable(s.Type, old.Type, field.NewPath("type"))...)
		if isTrue(old.Immutable) {
			errs = append(errs, checkStaysImmutable(s.Immutable)...)
			if !same(s.Data, old.Data) {
				errs = append(errs, field.Forbidden(field.NewPath("data"), immutableSet))
			}
		}
		return append(errs, checkSecret(s)...)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn, col("Type", "string", 0, "What the secret is for."), col("Data", "string", 0, "Number of keys."), ageColumn,
	},
	Row: as(func(s *corev1.Secret) []any {
		return []any{s.Name, string(s.Type), int64(len(s.Data)), age(s.CreationTimestamp)}
	}),
	Fields: as(func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} }),
}

const immutableSet = "field is immutable when `immutable` is set"

// checkStaysImmutable: the flag, once set, goes away with the object only.
func checkStaysImmutable(flag *bool) field.ErrorList {
	if isTrue(flag) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("immutable"), immutableSet)}
}

func isTrue(b *bool) bool { return b != nil && *b }

func checkSecret(s *corev1.Secret) field.ErrorList {
	errs := checkMeta(&s.ObjectMeta, true, dnsSubdomain)
	data := field.NewPath("data")
	total := 0
	for k, v := range s.Data {
		errs = append(errs, invalid(data.Key(k), k, validation.IsConfigMapKey(k))...)
		total += len(v)
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "", corev1.MaxSecretSize))
	}
	return append(errs, checkSecretType(s, data)...)
}

// checkSecretType looks for the keys that the well-known types promise.
func checkSecretType(s *corev1.Secret, data *field.Path) field.ErrorList {
	var errs field.ErrorList
	need := func(keys ...string) {
		for _, k := range keys {
			if _, ok := s.Data[k]; !ok {
				errs = append(errs, field.Required(data.Key(k), ""))
			}
		}
	}
	needJSON := func(key string) {
		v, ok := s.Data[key]
		if !ok {
			errs = append(errs, field.Required(data.Key(key), ""))
			return
		}
		if err := json.Unmarshal(v, &map[string]any{}); err != nil {
			errs = append(errs, field.Invalid(data.Key(key), "<secret contents redacted>", err.Error()))
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(metadataPath.Child("annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		needJSON(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		needJSON(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			errs = append(errs, field.Required(data.Key(corev1.BasicAuthUsernameKey), ""),
				field.Required(data.Key(corev1.BasicAuthPasswordKey), ""))
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		need(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return errs
}
