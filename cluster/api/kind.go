package api

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Object is an API object: it can be encoded and has metadata. The Go type of each kind implements it.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind describes one kind of object. Discovery, routes, storage, defaults, validation, columns and OpenAPI
// derive from it; no other place of the server names a kind.
//
// The functions get objects of the type that New returns and may change only
// their own argument. None does I/O. A nil function means there is nothing to do.
//
// It has more fields than a struct should have: they are the columns of the one table, and
// a kind sets those that it needs.
type Kind struct {
	// GroupVersionKind is the version that is stored and that discovery prefers.
	schema.GroupVersionKind
	// Plural is the resource's name in paths ("pods"), Singular the name for one.
	Plural, Singular string
	Short            []string
	Categories       []string // such as "all", for `kubectl get all`
	Namespaced       bool
	// Verbs are the verbs of the resource itself, nil for AllVerbs.
	Verbs []string
	// Virtual reports that the server computes the objects and never stores them (Binding, ComponentStatus, the
	// access reviews).
	Virtual bool
	// HasStatus reports whether there is a status subresource. Writes to the main resource keep the status then.
	HasStatus bool
	// Scale is the scale subresource, nil if there is none.
	Scale *Scale
	// Connect has the other subresources with their verbs ("binding", "log", ...). The server implements them.
	Connect []Subresource

	New     func() Object
	NewList func() runtime.Object
	// Codec encodes and decodes the objects. Nil is the codec of the Go type, with protobuf in the store.
	Codec Codec
	// Schema describes the objects. Nil is the schema derived from the Go type.
	Schema *spec.Schema
	// Media are the media types of the objects, nil for all. Strategic merge patches need protobuf.
	Media []MediaType
	// Custom reports that the kind is not built in: its keys in the store have the group.
	Custom bool
	// TTL reports that the store deletes an object an hour after its last write.
	TTL bool
	// OldSpelling has the names of fields in manifests of 2015 that differ from the current ones, with the
	// current names: decoders ignored the case then. See Respell.
	OldSpelling map[string]string

	// Restore sets what the store's encoding of an object leaves out.
	Restore func(obj Object)
	// Default sets the documented defaults.
	Default func(obj Object)
	// PrepareCreate resets what a client may not set on create: the status, and the generation to 1.
	PrepareCreate func(obj Object)
	// PrepareUpdate keeps what an update of the main resource may not change (status), and increments the
	// generation when the spec changes.
	PrepareUpdate func(obj, old Object)
	// PrepareStatus keeps everything but the status, including, as upstream, a few fields of the metadata.
	PrepareStatus func(obj, old Object)

	// Validate returns the errors of a new object, metadata included.
	Validate func(obj Object) field.ErrorList
	// ValidateUpdate returns the errors of obj as an update of old.
	ValidateUpdate func(obj, old Object) field.ErrorList
	// ValidateStatus is ValidateUpdate for the status subresource.
	ValidateStatus func(obj, old Object) field.ErrorList

	// Warn returns the warnings for a client about valid but unwise fields. The server calls it for new and
	// changed objects.
	Warn func(obj Object) []string

	// Columns and Row are the table that kubectl prints; Row's cells match Columns.
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object) []any
	// Fields returns the values of the kind's field selectors, except metadata.name and metadata.namespace.
	Fields func(obj Object) fields.Set

	// Reduced is the form of the kind for who may not read it; nil if there is none.
	Reduced *Reduced

	// Versions are the further versions in which the kind is served.
	Versions []Version
	// Stored and Converter are set by the table for one of Versions. Stored is the kind that has the rules and
	// is stored.
	Stored    *Kind
	Converter Converter
	// Deprecated is the warning about a version whose Go type does not have its releases; see Retired.
	Deprecated string
}

// Subresource is a subresource of a kind, with verbs of its own.
type Subresource struct {
	Name  string // "log"
	Kind  schema.GroupVersionKind
	Verbs []string
	// Prepare and Validate are PrepareUpdate and ValidateUpdate of a subresource that writes the object itself,
	// such as a namespace's finalize. Without them the server implements the subresource.
	Prepare  func(obj, old Object)
	Validate func(obj, old Object) field.ErrorList
}

// Reduced is a form of a kind with a part of its fields. Who may not list or watch the kind, but may do so with the subresource Name, which
// has no path of its own, gets this form.
type Reduced struct {
	Name string
	Of   func(Object) Object
}

// InReducedForm returns the kind in its reduced form, nil if it has none.
func (k *Kind) InReducedForm() *Kind {
	if k.Reduced == nil {
		return nil
	}
	c := *k
	c.Stored, c.Reduced, c.Converter = k, nil, reduction(k.Reduced.Of)
	return &c
}

// reduction is the Converter of a reduced form, which nobody writes.
type reduction func(Object) Object

// Convert implements Converter.
func (f reduction) Convert(_ context.Context, _ string, in []Object) ([]Object, error) {
	out := make([]Object, len(in))
	for i, obj := range in {
		out[i] = f(obj)
	}
	return out, nil
}

// Sub returns the subresource of a name, nil if the kind does not have it.
func (k *Kind) Sub(name string) *Subresource {
	for i := range k.Connect {
		if k.Connect[i].Name == name {
			return &k.Connect[i]
		}
	}
	return nil
}

// Of sets New and NewList of a kind whose objects are of type T, and their lists of type L.
func Of[T, L any, O interface {
	*T
	Object
}, R interface {
	*L
	runtime.Object
}](k *Kind) *Kind {
	k.New = func() Object { return O(new(T)) }
	k.NewList = func() runtime.Object { return R(new(L)) }
	return k
}

// Scale gets and sets the replicas of a kind.
type Scale struct {
	Get func(obj Object) ScaleValues
	Set func(obj Object, replicas int32)
	// Retired is the group and version of Scale in a version with a Scale of its own, else empty for
	// autoscaling/v1. See ScaleToRetired.
	Retired schema.GroupVersion
}

// Kind returns the kind of the scale subresource.
func (s *Scale) Kind() schema.GroupVersionKind {
	if s.Retired.Empty() {
		return GVK("autoscaling", "v1", "Scale")
	}
	return s.Retired.WithKind("Scale")
}

// ScaleValues are the numbers of autoscaling/v1 Scale.
type ScaleValues struct {
	Spec, Status int32
	Selector     string // in label selector syntax
}

// AllVerbs are the verbs of a stored resource, as discovery lists them.
var AllVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// GVK returns the GroupVersionKind of its parts.
func GVK(group, version, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: group, Version: version, Kind: kind}
}

// MediaType is a media type of objects.
type MediaType string

// The media types that objects can have.
const (
	JSON     MediaType = "application/json"
	YAML     MediaType = "application/yaml"
	Protobuf MediaType = "application/vnd.kubernetes.protobuf"
)

// Supports reports whether objects of the kind can be of a media type.
func (k *Kind) Supports(m MediaType) bool { return k.Media == nil || slices.Contains(k.Media, m) }

// Codec encodes the objects of a kind that has no Go type with protobuf.
type Codec interface {
	// Encode returns what the store keeps of an object, as JSON.
	Encode(obj Object) ([]byte, error)
	// Decode reads JSON that a client sent or that the store has. It names the fields that
	// are set twice or that the kind does not have; the latter are dropped.
	Decode(data []byte, into Object) (unknown []error, err error)
}

// Version is a further group and version in which the objects of a kind are served. They
// are stored in the kind's own shape, and validated and updated by its rules.
type Version struct {
	schema.GroupVersion
	// Short are the short names in a group that is not the kind's; in the kind's group they
	// are the kind's. Without them kubectl shows every object once.
	Short   []string
	New     func() Object
	NewList func() runtime.Object
	Codec   Codec
	Schema  *spec.Schema
	// Media are the media types of this version, nil for those of the kind.
	Media []MediaType
	// Deprecated is the warning of a version whose Go type does not have its releases.
	Deprecated string
	// Default fills in what this version has as default where the kind has something else.
	Default func(obj Object)
	// Validate and ValidateUpdate replace the kind's for clients of this version. They get objects in the stored shape.
	Validate       func(stored Object) field.ErrorList
	ValidateUpdate func(stored, old Object) field.ErrorList
	// Columns and Row print objects of this version; without them the kind's do.
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object) []any
	// Fields are the field selectors of this version, with the values of a stored object.
	Fields  func(stored Object) fields.Set
	Connect []Subresource
	// Scale is the group and version of its Scale, if that is not autoscaling/v1.
	Scale     schema.GroupVersion
	Converter Converter
}

// Converter converts objects between the versions of a kind. It may do I/O and may fail.
type Converter interface {
	// Convert returns the objects in the version "group/version", in the same order. It
	// leaves those that it is given as they are, but may share their parts.
	Convert(ctx context.Context, to string, in []Object) ([]Object, error)
}
