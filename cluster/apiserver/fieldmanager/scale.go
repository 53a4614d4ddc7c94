package fieldmanager

import (
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// ScaleKind is the kind of the subresource scale.
var ScaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

// ScaleTypes returns the schema of a Scale, which the apply configurations of client-go leave out.
func ScaleTypes(scheme *runtime.Scheme) (managedfields.TypeConverter, error) {
	parser, err := typed.NewParser(scaleSchema)
	if err != nil {
		return nil, fmt.Errorf("the schema of a Scale: %w", err)
	}
	return managedfields.NewSchemeTypeConverter(scheme, parser), nil
}

const scaleSchema typed.YAMLObject = `types:
- name: io.k8s.api.autoscaling.v1.Scale
  map:
    fields:
    - {name: apiVersion, type: {scalar: string}}
    - {name: kind, type: {scalar: string}}
    - {name: metadata, type: {namedType: metadata}}
    - {name: spec, type: {namedType: numbers}}
    - {name: status, type: {namedType: numbers}}
- name: numbers
  map:
    fields:
    - {name: replicas, type: {scalar: numeric}}
    - {name: selector, type: {scalar: string}}
- name: metadata
  scalar: untyped
  list: {elementType: {namedType: metadata}, elementRelationship: atomic}
  map: {elementType: {namedType: metadata}, elementRelationship: separable}
`

// Scale translates between the managedFields of an object and those of its Scale, which has
// the object's spec.replicas.
type Scale struct{ *managedfields.ScaleHandler }

// NewScale returns the translation for an object with these entries that is scaled by a request
// of a version. Versions are all in which its kind is served.
func NewScale(entries []metav1.ManagedFieldsEntry, request schema.GroupVersion, versions []schema.GroupVersion) Scale {
	replicas := managedfields.ResourcePathMappings{}
	for _, gv := range versions {
		replicas[gv.String()] = fieldpath.MakePathOrDie("spec", "replicas")
	}
	return Scale{managedfields.NewScaleHandler(entries, request, replicas)}
}

// OfScale returns the entries for the Scale.
func (s Scale) OfScale() ([]metav1.ManagedFieldsEntry, error) {
	entries, err := s.ToSubresource()
	if err != nil {
		return nil, fmt.Errorf("the owners of a scale: %w", err)
	}
	return entries, nil
}

// OfObject returns the object's entries once its Scale has these.
func (s Scale) OfObject(scale []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	entries, err := s.ToParent(scale)
	if err != nil {
		return nil, fmt.Errorf("the owners of replicas: %w", err)
	}
	return entries, nil
}
