package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Object is what every kind's Go type is: it can be encoded, and it has metadata.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is all that the cluster knows of one kind of object. Discovery, routes,
// storage, defaulting, validation, columns and OpenAPI derive from it; the server
// has no other place where a kind is named.
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
	// Verbs that the resource itself answers; nil means all of AllVerbs.
	Verbs []string
	// Virtual kinds are answered by the server and never stored (Binding,
	// ComponentStatus, the access reviews).
	Virtual bool
	// HasStatus: the status subresource exists, and writes to the main resource
	// leave status alone.
	HasStatus bool
	// Scale gives the scale subresource, nil if there is none.
	Scale *Scale
	// Connect names the further subresources and their verbs, for discovery
	// ("binding", "log", ...); the server implements them.
	Connect []Subresource

	New     func() Object
	NewList func() runtime.Object
	// Codec encodes and decodes the objects; nil: by their Go type, protobuf in the store.
	Codec Codec
	// Schema describes the objects; nil: derived from their Go type.
	Schema *spec.Schema
	// Media are the media types of the objects; nil: all. Strategic merge patches are taken
	// of kinds that have protobuf.
	Media []MediaType
	// Custom kinds are not built in: their keys in the store carry the group.
	Custom bool
	// TTL: the store removes an object an hour after its last write.
	TTL bool
	// OldSpelling is how manifests of the first years write some fields, with today's
	// name for each: a server of then read JSON whatever its case. See Respell.
	OldSpelling map[string]string

	// Default fills in what the API documents as default.
	Default func(obj Object)
	// PrepareCreate resets what a client may not set on create (status,
	// generation is 1 for kinds that have one).
	PrepareCreate func(obj Object)
	// PrepareUpdate carries over what an update of the main resource may not
	// change (status), and raises the generation when the spec differs.
	PrepareUpdate func(obj, old Object)
	// PrepareStatus carries over everything but status (and, as upstream, the few
	// metadata fields that a status writer may not touch).
	PrepareStatus func(obj, old Object)

	// Validate names every field that is wrong in a new object, metadata included.
	Validate func(obj Object) field.ErrorList
	// ValidateUpdate names what is wrong with obj as successor of old.
	ValidateUpdate func(obj, old Object) field.ErrorList
	// ValidateStatus is ValidateUpdate for the status subresource.
	ValidateStatus func(obj, old Object) field.ErrorList

	// Warn names what is allowed in an object and yet unwise, in the words of which a
	// client is warned. The server calls it for objects that are new or were asked to be
	// otherwise than before.
	Warn func(obj Object) []string

	// Columns and Row are the table that kubectl prints; Row's cells match Columns.
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object) []any
	// Fields are the field selectors of the kind beyond metadata.name and
	// metadata.namespace, with the object's values.
	Fields func(obj Object) fields.Set

	// Versions are the further versions in which the kind is served.
	Versions []Version
	// Stored and Converter are set by the table for a kind as it is served in one of
	// Versions: Stored is the kind whose rules hold, and whose objects are kept.
	Stored    *Kind
	Converter Converter
}

// Subresource is a named part of an object with its own verbs.
type Subresource struct {
	Name  string // "log"
	Kind  schema.GroupVersionKind
	Verbs []string
	// Prepare and Validate are there if the subresource is another way to write the
	// object itself, such as a namespace's finalize: they are its PrepareUpdate and
	// ValidateUpdate. Without them the server implements the subresource.
	Prepare  func(obj, old Object)
	Validate func(obj, old Object) field.ErrorList
}

// Sub finds one of Connect by its name, nil if the kind does not have it.
func (k *Kind) Sub(name string) *Subresource {
	for i := range k.Connect {
		if k.Connect[i].Name == name {
			return &k.Connect[i]
		}
	}
	return nil
}

// Scale reads and sets the replicas of a kind that can be scaled.
type Scale struct {
	Get func(obj Object) ScaleValues
	Set func(obj Object, replicas int32)
	// Retired is the group and version of the Scale that is shown, for the versions that
	// had one of their own; else it is autoscaling/v1. See ScaleToRetired.
	Retired schema.GroupVersion
}

// Kind is what the scale subresource shows.
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
