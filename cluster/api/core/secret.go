package core

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Secrets is the kind Secret: confidential data in keys.
var Secrets = api.Of[corev1.Secret, corev1.SecretList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Secret"),
	Plural:           "secrets", Singular: "secret", Namespaced: true,

	Default: rules.Mutate(func(s *corev1.Secret) {
		// stringData is write-only and overwrites data.
		if len(s.StringData) > 0 {
			if s.Data == nil {
				s.Data = make(map[string][]byte, len(s.StringData))
			}
			for k, v := range s.StringData {
				s.Data[k] = []byte(v)
			}
			s.StringData = nil
		}
		for k, v := range s.Data {
			if v == nil { // upstream stores it as protobuf, in which null is empty
				s.Data[k] = []byte{}
			}
		}
		rules.SetDefault(&s.Type, corev1.SecretTypeOpaque)
	}),
	PrepareUpdate: rules.MutateUpdate(func(s, old *corev1.Secret) {
		if s.Type == "" {
			s.Type = old.Type
		}
	}),

	Validate: rules.Typed(validateSecret),
	ValidateUpdate: rules.TypedUpdate(func(s, old *corev1.Secret) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&s.ObjectMeta, &old.ObjectMeta)
		errs = append(errs, rules.Immutable(s.Type, old.Type, field.NewPath("type"))...)
		if ptr.Deref(old.Immutable, false) {
			errs = append(errs, validateImmutableFlag(s.Immutable)...)
			if !rules.Equal(s.Data, old.Data) {
				errs = append(errs, field.Forbidden(field.NewPath("data"), immutableSet))
			}
		}
		return append(errs, validateSecret(s)...)
	}),

	Warn: rules.Typed(secretWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn, rules.Column("Type", "string", 0, rules.Doc(corev1.Secret{}, "type")), rules.Column("Data", "string", 0, rules.Doc(corev1.Secret{}, "data")), rules.AgeColumn,
	},
	Row: rules.Typed(func(s *corev1.Secret) []any {
		return []any{s.Name, string(s.Type), int64(len(s.Data)), rules.Age(s.CreationTimestamp)}
	}),
	Fields: rules.Typed(func(s *corev1.Secret) fields.Set { return fields.Set{"type": string(s.Type)} }),
})

const immutableSet = "field is immutable when `immutable` is set"

// validateImmutableFlag reports a reset of immutable, which is permanent.
func validateImmutableFlag(flag *bool) field.ErrorList {
	if ptr.Deref(flag, false) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("immutable"), immutableSet)}
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	errs := rules.ValidateObjectMeta(&s.ObjectMeta, true, rules.DNSSubdomain)
	data := field.NewPath("data")
	total := 0
	for k, v := range s.Data {
		errs = append(errs, rules.Invalid(data.Key(k), k, validation.IsConfigMapKey(k))...)
		total += len(v)
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "", corev1.MaxSecretSize))
	}
	return append(errs, validateSecretType(s, data)...)
}

// validateSecretType validates the keys that the well-known types require.
func validateSecretType(s *corev1.Secret, data *field.Path) field.ErrorList {
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
		errs = append(errs, rules.Required(s.Annotations[corev1.ServiceAccountNameKey], rules.MetadataPath.Child("annotations").Key(corev1.ServiceAccountNameKey))...)
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
