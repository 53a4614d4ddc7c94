package podrules

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

const moreThanOne = "may not have more than one field specified at a time"

func validateEnv(env []corev1.EnvVar, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		v, at := &env[i], p.Index(i)
		errs = append(errs, rules.RequiredValue(v.Name, at.Child("name"), validation.IsRelaxedEnvVarName)...)
		if v.ValueFrom != nil {
			errs = append(errs, validateEnvVarValueFrom(v, at.Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvVarValueFrom(v *corev1.EnvVar, p *field.Path) field.ErrorList {
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
		errs = append(errs, validateFileKeySelector(r, p.Child("fileKeyRef"))...)
	}
	switch {
	case n == 0:
		errs = append(errs, field.Invalid(p, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(p, "", "may not be specified when `value` is not empty"))
	case n > 1:
		errs = append(errs, field.Invalid(p, "", moreThanOne))
	}
	return errs
}

func validateKeySelector(name, key string, p *field.Path) field.ErrorList {
	errs := rules.Invalid(p.Child("name"), name, validation.IsDNS1123Subdomain(name))
	return append(errs, rules.RequiredValue(key, p.Child("key"), validation.IsConfigMapKey)...)
}

func validateFileKeySelector(r *corev1.FileKeySelector, p *field.Path) field.ErrorList {
	errs := rules.RequiredValue(r.Key, p.Child("key"), validation.IsRelaxedEnvVarName)
	errs = append(errs, rules.RequiredValue(r.VolumeName, p.Child("volumeName"), validation.IsDNS1123Label)...)
	if r.Path == "" {
		return append(errs, field.Required(p.Child("path"), ""))
	}
	return append(errs, ValidatePathNoBacksteps(r.Path, p.Child("path"))...)
}

// validateFileKeyRefVolumes reports variables from files of volumes that are not there, or no emptyDir.
func (c *podSpecValidator) validateFileKeyRefVolumes(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	eachContainer(c.spec, p, func(ctr *corev1.Container, p *field.Path) {
		for i := range ctr.Env {
			from := ctr.Env[i].ValueFrom
			if from == nil || from.FileKeyRef == nil {
				continue
			}
			name, at := from.FileKeyRef.VolumeName, p.Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			k := slices.IndexFunc(c.spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
			if k < 0 {
				errs = append(errs, field.NotFound(at, name))
			} else if c.spec.Volumes[k].EmptyDir == nil {
				errs = append(errs, field.Invalid(at, name, "referenced volume must be of type emptyDir"))
			}
		}
	})
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
			errs = append(errs, rules.RequiredValue(f.ConfigMapRef.Name, at.Child("configMapRef", "name"), namePrefix)...)
		}
		if f.SecretRef != nil {
			n++
			errs = append(errs, rules.RequiredValue(f.SecretRef.Name, at.Child("secretRef", "name"), namePrefix)...)
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

// namePrefix is the rule for the names of envFrom, which upstream validates as prefixes.
func namePrefix(name string) []string { return rules.DNSSubdomain(name, true) }

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
	path, key, subscripted := splitMaybeSubscriptedPath(f.FieldPath)
	if !subscripted {
		path = f.FieldPath
	}
	switch {
	case f.APIVersion != "v1":
		return field.ErrorList{field.Invalid(at, f.FieldPath, "error converting fieldPath: unsupported pod version: "+f.APIVersion)}
	case subscripted && path == "metadata.annotations":
		return rules.Invalid(p, strings.ToLower(key), validation.IsQualifiedName(strings.ToLower(key)))
	case subscripted && path == "metadata.labels":
		return rules.Invalid(p, key, validation.IsQualifiedName(key))
	case subscripted:
		return field.ErrorList{field.Invalid(at, f.FieldPath, "error converting fieldPath: field label does not support subscript: "+f.FieldPath)}
	case path == "spec.host": // of clients before v1
		path = "spec.nodeName"
	case !slices.Contains(podFieldLabels, path):
		return field.ErrorList{field.Invalid(at, f.FieldPath, "error converting fieldPath: field label not supported: "+f.FieldPath)}
	}
	return rules.OneOf(path, at, allowed...)
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

func isHugePagesField(name string) bool {
	return strings.HasPrefix(name, "limits.hugepages-") || strings.HasPrefix(name, "requests.hugepages-")
}

func validateContainerResourceFieldSelector(r *corev1.ResourceFieldSelector, volume bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case volume && r.ContainerName == "":
		errs = append(errs, field.Required(p.Child("containerName"), ""))
	case r.Resource == "":
		errs = append(errs, field.Required(p.Child("resource"), ""))
	case !isHugePagesField(r.Resource):
		errs = append(errs, rules.OneOf(r.Resource, p.Child("resource"), containerFields...)...)
	}
	return append(errs, validateContainerResourceDivisor(r.Resource, r.Divisor, p.Child("divisor"))...)
}

func validateContainerResourceDivisor(name string, divisor resource.Quantity, p *field.Path) field.ErrorList {
	if divisor.IsZero() {
		return nil
	}
	divisors, list, what := []string{"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}, "", ""
	switch {
	case name == "limits.cpu" || name == "requests.cpu":
		divisors, list, what = []string{"1m", "1"}, "1m and 1", "cpu"
	case name == "limits.memory" || name == "requests.memory":
		what = "memory"
	case name == "limits.ephemeral-storage" || name == "requests.ephemeral-storage":
		what = "local ephemeral storage"
	case isHugePagesField(name):
		what = "hugepages"
	default:
		return nil
	}
	if slices.Contains(divisors, divisor.String()) {
		return nil
	}
	if list == "" {
		list = strings.Join(divisors, ", ")
	}
	return field.ErrorList{field.Invalid(p, name, fmt.Sprintf("only divisor's values %s are supported with the %s resource", list, what))}
}
