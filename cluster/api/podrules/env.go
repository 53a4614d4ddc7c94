package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

const moreThanOne = "may not have more than one field specified at a time"

func (c *podSpecValidator) validateEnv(env []corev1.EnvVar, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		v, at := &env[i], p.Index(i)
		errs = append(errs, rules.RequiredValue(v.Name, at.Child("name"), validation.IsRelaxedEnvVarName)...)
		if v.ValueFrom != nil {
			errs = append(errs, c.validateEnvVarValueFrom(v, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func (c *podSpecValidator) validateEnvVarValueFrom(v *corev1.EnvVar, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	from, n := v.ValueFrom, 0
	if f := from.FieldRef; f != nil {
		n++
		errs = append(errs, validateObjectFieldSelector(f, envDownwardAPIFields, p.Child("fieldRef"))...)
	}
	if r := from.ResourceFieldRef; r != nil {
		n++
		errs = append(errs, validateContainerResourceFieldSelector(r, false, p.Child("resourceFieldRef"))...)
	}
	if r := from.ConfigMapKeyRef; r != nil {
		n++
		errs = append(errs, validateKeySelector(r.Name, r.Key, p.Child("configMapKeyRef"))...)
	}
	if r := from.SecretKeyRef; r != nil {
		n++
		errs = append(errs, validateKeySelector(r.Name, r.Key, p.Child("secretKeyRef"))...)
	}
	if r := from.FileKeyRef; r != nil {
		n++
		errs = append(errs, c.validateFileKeySelector(r, p.Child("fileKeyRef"))...)
	}
	switch {
	case n == 0:
		errs = append(errs, field.Invalid(p, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(p, "", "may not be specified when `value` is not empty"))
	case n > 1:
		errs = append(errs, field.Invalid(p, "", moreThanOne))
	}
	return errs
}

func validateKeySelector(name, key string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, rules.Required(name, p.Child("name"))...)
	return append(errs, rules.RequiredValue(key, p.Child("key"), validation.IsConfigMapKey)...)
}

func (c *podSpecValidator) validateFileKeySelector(r *corev1.FileKeySelector, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, rules.RequiredValue(r.Key, p.Child("key"), validation.IsRelaxedEnvVarName)...)
	if r.VolumeName == "" {
		errs = append(errs, field.Required(p.Child("volumeName"), ""))
	} else if v := c.volumes[r.VolumeName]; v == nil {
		errs = append(errs, field.NotFound(p.Child("volumeName"), r.VolumeName))
	} else if v.EmptyDir == nil {
		errs = append(errs, field.Invalid(p.Child("volumeName"), r.VolumeName, "referenced volume must be an emptyDir"))
	}
	if r.Path == "" {
		errs = append(errs, field.Required(p.Child("path"), ""))
	} else {
		errs = append(errs, validateLocalDescendingPath(r.Path, p.Child("path"))...)
	}
	return errs
}

func validateEnvFrom(from []corev1.EnvFromSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range from {
		f, at := &from[i], p.Index(i)
		errs = append(errs, rules.OptionalValue(f.Prefix, at.Child("prefix"), validation.IsRelaxedEnvVarName)...)
		n := 0
		if f.ConfigMapRef != nil {
			n++
			errs = append(errs, rules.Required(f.ConfigMapRef.Name, at.Child("configMapRef", "name"))...)
		}
		if f.SecretRef != nil {
			n++
			errs = append(errs, rules.Required(f.SecretRef.Name, at.Child("secretRef", "name"))...)
		}
		switch {
		case n == 0:
			errs = append(errs, field.Invalid(p, "", "must specify one of: `configMapRef` or `secretRef`"))
		case n > 1:
			errs = append(errs, field.Invalid(p, "", moreThanOne))
		}
	}
	return errs
}

var (
	envDownwardAPIFields = []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
	volumeDownwardAPIFields = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
	podFieldLabels          = append([]string{"metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"}, envDownwardAPIFields...)
)

// validateObjectFieldSelector validates a reference to a field of the pod (downward API).
func validateObjectFieldSelector(f *corev1.ObjectFieldSelector, allowed []string, p *field.Path) field.ErrorList {
	if f.APIVersion == "" {
		return field.ErrorList{field.Required(p.Child("apiVersion"), "")}
	}
	at := p.Child("fieldPath")
	if f.FieldPath == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if path, key, ok := splitMaybeSubscriptedPath(f.FieldPath); ok {
		switch path {
		case "metadata.annotations":
			return rules.Invalid(at, key, validation.IsQualifiedName(strings.ToLower(key)))
		case "metadata.labels":
			return rules.Invalid(at, key, validation.IsQualifiedName(key))
		}
		return field.ErrorList{field.Invalid(at, path, "does not support subscript")}
	}
	for _, a := range allowed {
		if f.FieldPath == a {
			return nil
		}
	}
	for _, known := range podFieldLabels {
		if f.FieldPath == known {
			return field.ErrorList{field.NotSupported(at, f.FieldPath, allowed)}
		}
	}
	return field.ErrorList{field.Invalid(at, f.FieldPath, fmt.Sprintf("error converting fieldPath: field label not supported: %s", f.FieldPath))}
}

// splitMaybeSubscriptedPath splits metadata.labels['key'].
func splitMaybeSubscriptedPath(path string) (name, key string, ok bool) {
	rest, ok := strings.CutSuffix(path, "']")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "['")
}

var containerFields = []string{
	"limits.cpu", "limits.ephemeral-storage", "limits.memory",
	"requests.cpu", "requests.ephemeral-storage", "requests.memory",
}

func validateContainerResourceFieldSelector(r *corev1.ResourceFieldSelector, volume bool, p *field.Path) field.ErrorList {
	if volume && r.ContainerName == "" {
		return field.ErrorList{field.Required(p.Child("containerName"), "")}
	}
	if r.Resource == "" {
		return field.ErrorList{field.Required(p.Child("resource"), "")}
	}
	if !strings.HasPrefix(r.Resource, "limits.hugepages-") && !strings.HasPrefix(r.Resource, "requests.hugepages-") {
		if errs := rules.OneOf(r.Resource, p.Child("resource"), containerFields...); len(errs) > 0 {
			return errs
		}
	}
	return validateContainerResourceDivisor(r.Resource, r.Divisor, p.Child("divisor"))
}

func validateContainerResourceDivisor(name string, divisor resource.Quantity, p *field.Path) field.ErrorList {
	if divisor.IsZero() {
		return nil
	}
	divisors, what := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}, "memory"
	switch {
	case strings.HasSuffix(name, ".cpu"):
		divisors, what = []string{"1m", "1"}, "cpu"
	case strings.HasSuffix(name, "ephemeral-storage"):
		what = "local ephemeral storage"
	}
	for _, d := range divisors {
		if divisor.String() == d {
			return nil
		}
	}
	return field.ErrorList{field.Invalid(p, divisor.String(), fmt.Sprintf("only divisor's values %s are supported with the %s resource", strings.Join(divisors, ", "), what))}
}
