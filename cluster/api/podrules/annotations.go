package podrules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const tolerationsAnnotation = "scheduler.alpha.kubernetes.io/tolerations"

// ValidatePodAnnotations validates the annotations that mean something for a pod or, in a template, for its pods.
func ValidatePodAnnotations(annotations map[string]string, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	if len(annotations) == 0 {
		return nil
	}
	var errs field.ErrorList
	if v, is := annotations[corev1.MirrorPodAnnotationKey]; is && s.NodeName == "" {
		errs = append(errs, field.Invalid(p.Key(corev1.MirrorPodAnnotationKey), v, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if v := annotations[tolerationsAnnotation]; v != "" {
		var tolerations []corev1.Toleration
		if err := json.Unmarshal([]byte(v), &tolerations); err != nil {
			errs = append(errs, field.Invalid(p, tolerationsAnnotation, err.Error()))
		} else {
			errs = append(errs, ValidateTolerations(tolerations, p.Child(tolerationsAnnotation))...)
		}
	}
	if v, is := annotations[corev1.PodDeletionCost]; is && !isDeletionCost(v) {
		errs = append(errs, field.Invalid(p.Key(corev1.PodDeletionCost), v, "must be a 32bit integer"))
	}
	if v, is := annotations[corev1.SeccompPodAnnotationKey]; is {
		errs = append(errs, validateSeccompAnnotation(v, p.Child(corev1.SeccompPodAnnotationKey))...)
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(k, corev1.SeccompContainerAnnotationKeyPrefix) {
			errs = append(errs, validateSeccompAnnotation(annotations[k], p.Child(k))...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if name, is := strings.CutPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix); is {
			errs = append(errs, validateAppArmorAnnotation(name, annotations[k], s, p.Key(k))...)
		}
	}
	return errs
}

// isDeletionCost reports whether v is a number of 32 bits without a plus sign or leading zeros.
func isDeletionCost(v string) bool {
	if v == "" || v[0] == '+' || (v[0] == '0' && v != "0") {
		return false
	}
	_, err := strconv.ParseInt(v, 10, 32)
	return err == nil
}

func validateSeccompAnnotation(v string, p *field.Path) field.ErrorList {
	switch v {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return nil
	}
	if profile, local := strings.CutPrefix(v, corev1.SeccompLocalhostProfileNamePrefix); local {
		return validateLocalDescendingPath(profile, p)
	}
	return field.ErrorList{field.Invalid(p, v, "must be a valid seccomp profile")}
}

func validateAppArmorAnnotation(container, v string, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	found := false
	eachContainer(s, nil, func(c *corev1.Container, _ *field.Path) { found = found || c.Name == container })
	if !found {
		errs = append(errs, field.Invalid(p, container, "container not found"))
	}
	switch {
	case v == "", v == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault, v == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
	case !strings.HasPrefix(v, corev1.DeprecatedAppArmorBetaProfileNamePrefix):
		errs = append(errs, field.Invalid(p, v, fmt.Sprintf("invalid AppArmor profile name: %q", v)))
	}
	return errs
}

// validateProfileAnnotations reports profiles of seccomp and AppArmor that annotations and fields name differently.
func validateProfileAnnotations(m *metav1.ObjectMeta, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	if len(m.Annotations) == 0 {
		return nil
	}
	var errs, appArmor field.ErrorList
	var whole corev1.PodSecurityContext
	if s.SecurityContext != nil {
		whole = *s.SecurityContext
	}
	seccomp := func(profile *corev1.SeccompProfile, key string, p *field.Path) {
		if v, is := m.Annotations[key]; is && profile != nil {
			errs = append(errs, seccompProfile(profile).match(v, p.Child("securityContext", "seccompProfile"))...)
		}
	}
	seccomp(whole.SeccompProfile, corev1.SeccompPodAnnotationKey, p)
	windows := s.OS != nil && s.OS.Name == corev1.Windows
	eachContainer(s, p, func(c *corev1.Container, p *field.Path) {
		var own corev1.SecurityContext
		if c.SecurityContext != nil {
			own = *c.SecurityContext
		}
		seccomp(own.SeccompProfile, corev1.SeccompContainerAnnotationKeyPrefix+c.Name, p)
		profile := own.AppArmorProfile
		if profile == nil {
			profile = whole.AppArmorProfile
		}
		if v, is := m.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]; is && profile != nil && !windows {
			appArmor = append(appArmor, appArmorProfile(profile).match(v, p.Child("securityContext", "appArmorProfile"))...)
		}
	})
	return append(errs, appArmor...)
}

// profile is a profile of seccomp or AppArmor, with the values of its annotation.
type profile struct {
	what       string
	local      *string // the name of a profile on the node
	isLocal    bool
	prefix     string   // of the annotation for a profile on the node
	annotation []string // the values for the other types, nil for any
}

func seccompProfile(s *corev1.SeccompProfile) profile {
	p := profile{what: "seccomp", local: s.LocalhostProfile, isLocal: s.Type == corev1.SeccompProfileTypeLocalhost, prefix: corev1.SeccompLocalhostProfileNamePrefix}
	switch s.Type {
	case corev1.SeccompProfileTypeUnconfined:
		p.annotation = []string{corev1.SeccompProfileNameUnconfined}
	case corev1.SeccompProfileTypeRuntimeDefault:
		p.annotation = []string{corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault}
	}
	return p
}

func appArmorProfile(a *corev1.AppArmorProfile) profile {
	p := profile{what: "apparmor", local: a.LocalhostProfile, isLocal: a.Type == corev1.AppArmorProfileTypeLocalhost, prefix: corev1.DeprecatedAppArmorBetaProfileNamePrefix}
	switch a.Type {
	case corev1.AppArmorProfileTypeUnconfined:
		p.annotation = []string{corev1.DeprecatedAppArmorBetaProfileNameUnconfined}
	case corev1.AppArmorProfileTypeRuntimeDefault:
		p.annotation = []string{corev1.DeprecatedAppArmorBetaProfileRuntimeDefault}
	}
	return p
}

func (f profile) match(annotation string, p *field.Path) field.ErrorList {
	name, isLocal := strings.CutPrefix(annotation, f.prefix)
	switch {
	case f.isLocal && isLocal && (f.local == nil || *f.local != name):
		return field.ErrorList{field.Forbidden(p.Child("localhostProfile"), f.what+" profile in annotation and field must match")}
	case f.isLocal && !isLocal, !f.isLocal && f.annotation != nil && !slices.Contains(f.annotation, annotation):
		return field.ErrorList{field.Forbidden(p.Child("type"), f.what+" type in annotation and field must match")}
	}
	return nil
}
