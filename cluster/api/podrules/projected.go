package podrules

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// projections validates the sources of a projected volume, whose files must not share paths.
type projections struct {
	p     *field.Path // of the volume
	paths map[string]bool
	errs  field.ErrorList
}

func validateProjectionSources(list []corev1.VolumeProjection, p *field.Path) field.ErrorList {
	v := projections{p: p, paths: map[string]bool{}}
	for i := range list {
		v.source(&list[i], p.Child("sources").Index(i))
	}
	return v.errs
}

func (v *projections) add(errs field.ErrorList) { v.errs = append(v.errs, errs...) }

// file records the path of a file, and reports one that is taken. The value is what the error shows.
func (v *projections) file(path, value string) {
	if v.paths[path] {
		v.errs = append(v.errs, field.Invalid(v.p, value, "conflicting duplicate paths"))
	}
	v.paths[path] = true
}

func (v *projections) items(name string, items []corev1.KeyToPath, p *field.Path) {
	v.add(rules.Required(name, p.Child("name")))
	for i := range items {
		v.add(validateKeyToPath(&items[i], p.Child("items").Index(i)))
		if items[i].Path != "" {
			v.file(items[i].Path, name)
		}
	}
}

func (v *projections) source(s *corev1.VolumeProjection, p *field.Path) {
	n := 0
	if s.Secret != nil {
		n++
		v.items(s.Secret.Name, s.Secret.Items, p.Child("secret"))
	}
	if s.ConfigMap != nil {
		n++
		v.items(s.ConfigMap.Name, s.ConfigMap.Items, p.Child("configMap"))
	}
	if s.DownwardAPI != nil {
		n++
		for i := range s.DownwardAPI.Items {
			f := &s.DownwardAPI.Items[i]
			v.add(validateDownwardAPIVolumeFile(f, p.Child("downwardAPI")))
			if f.Path != "" {
				v.file(f.Path, f.Path)
			}
		}
	}
	if s.ServiceAccountToken != nil {
		n++
		v.serviceAccountToken(s.ServiceAccountToken, p.Child("serviceAccountToken"))
	}
	if n > 1 {
		v.errs = append(v.errs, field.Forbidden(p, "may not specify more than 1 volume type per source"))
	}
}

func (v *projections) serviceAccountToken(t *corev1.ServiceAccountTokenProjection, p *field.Path) {
	if e := t.ExpirationSeconds; e != nil {
		if *e < 10*60 {
			v.errs = append(v.errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration less than 10 minutes"))
		}
		if *e > 1<<32 {
			v.errs = append(v.errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	// The path of the error is the volume's, as upstream's.
	v.add(requireLocalNonReservedPath(t.Path, v.p.Child("path")))
}

// validateTemplateObjectMeta validates the metadata of a claim template, which has labels and annotations only.
func validateTemplateObjectMeta(m *metav1.ObjectMeta, p *field.Path) field.ErrorList {
	errs := rules.ValidateAnnotations(m.Annotations, p.Child("annotations"))
	errs = append(errs, metav1validation.ValidateLabels(m.Labels, p.Child("labels"))...)
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"name", m.Name != ""},
		{"generateName", m.GenerateName != ""},
		{"namespace", m.Namespace != ""},
		{"selfLink", m.SelfLink != ""}, //nolint:staticcheck // upstream refuses it too
		{"uID", m.UID != ""},           // upstream's spelling
		{"resourceVersion", m.ResourceVersion != ""},
		{"generation", m.Generation != 0},
		{"creationTimestamp", !m.CreationTimestamp.IsZero()},
		{"deletionTimestamp", m.DeletionTimestamp != nil},
		{"deletionGracePeriodSeconds", m.DeletionGracePeriodSeconds != nil},
		{"ownerReferences", len(m.OwnerReferences) > 0},
		{"finalizers", len(m.Finalizers) > 0},
		{"managedFields", len(m.ManagedFields) > 0},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), "cannot be set"))
		}
	}
	return errs
}
