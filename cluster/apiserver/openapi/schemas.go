package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// schemas collects the definitions that the paths of a document lead to.
type schemas struct {
	refPrefix   string
	v3          bool
	versions    []schema.GroupVersion // of the document
	definitions doc
	err         error // the first
}

func newSchemas(refPrefix string, v3 bool, versions []schema.GroupVersion) *schemas {
	return &schemas{refPrefix: refPrefix, v3: v3, versions: versions, definitions: doc{}}
}

// named is what generated types say of themselves.
type named interface{ OpenAPIModelName() string }

// documented types carry the comments of their fields; "" is the type's own.
type documented interface{ SwaggerDoc() map[string]string }

// scalar types are written as a string or number though they are structs.
type scalar interface {
	OpenAPISchemaType() []string
	OpenAPISchemaFormat() string
}

type eitherOf interface{ OpenAPIV3OneOfTypes() []string }

// ref defines a named type if need be, and points to it.
func (s *schemas) ref(t reflect.Type) doc {
	name := modelName(t)
	if _, ok := s.definitions[name]; !ok {
		s.definitions[name] = doc{} // a type may hold itself
		d := s.define(t, name)
		if kinds := s.kindsOf(t); kinds != nil {
			d["x-kubernetes-group-version-kind"] = kinds
		}
		s.definitions[name] = d
	}
	return doc{"$ref": s.refPrefix + name}
}

// kindsOf are the kinds that a type is, nil for one that is no object: of a type that all groups have, those of the
// document and core's.
func (s *schemas) kindsOf(t reflect.Type) (list []any) {
	o, ok := reflect.New(t).Interface().(runtime.Object)
	if !ok {
		return nil
	}
	kinds, _, err := api.Scheme.ObjectKinds(o)
	if err != nil {
		return nil
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range kinds {
		if len(kinds) == 1 || k.GroupVersion() == corev1.SchemeGroupVersion || slices.Contains(s.versions, k.GroupVersion()) {
			list = append(list, gvkDoc(k))
		}
	}
	return list
}

// refKind is ref for an object that is sent as such: its kind is recorded.
func (s *schemas) refKind(t reflect.Type, gvk schema.GroupVersionKind) doc {
	r := s.ref(t)
	definition := s.definitions[modelName(t)].(doc)
	list, _ := definition["x-kubernetes-group-version-kind"].([]any)
	for _, have := range list {
		if have.(doc)["group"] == gvk.Group && have.(doc)["version"] == gvk.Version {
			return r
		}
	}
	definition["x-kubernetes-group-version-kind"] = append(list, gvkDoc(gvk))
	return r
}

// object points to the schema of a kind: that which it has, or one of its Go type.
func (s *schemas) object(k *api.Kind) doc {
	own := doc{}
	switch {
	case k.Schema == nil && k.Codec == nil:
		return s.refKind(typeOf(k.New()), k.GroupVersionKind)
	case k.Schema == nil:
		own["x-kubernetes-preserve-unknown-fields"] = true
	default:
		b, err := json.Marshal(k.Schema)
		s.err = cmp.Or(s.err, err, json.Unmarshal(b, &own))
	}
	properties, _ := own["properties"].(doc)
	return s.given(k.GroupVersionKind, own, properties, s.ref(reflect.TypeFor[metav1.ObjectMeta]()))
}

// list points to the schema of a list of objects of a kind.
func (s *schemas) list(k *api.Kind) doc {
	gvk := k.GroupVersionKind
	gvk.Kind += "List"
	if k.Schema == nil && k.Codec == nil {
		return s.refKind(typeOf(k.NewList()), gvk)
	}
	items := doc{"items": doc{"type": "array", "items": s.object(k)}}
	return s.given(gvk, doc{"required": []any{"items"}}, items, s.ref(reflect.TypeFor[metav1.ListMeta]()))
}

// given defines the schema of a kind that has no Go type, with the fields of all objects.
func (s *schemas) given(gvk schema.GroupVersionKind, definition, properties, meta doc) doc {
	name := strings.Split(gvk.Group, ".")
	slices.Reverse(name)
	full := strings.Join(append(name, gvk.Version, gvk.Kind), ".")
	all := maps.Clone(properties)
	if all == nil {
		all = doc{}
	}
	docs := metav1.TypeMeta{}.SwaggerDoc()
	all["apiVersion"] = doc{"type": "string", "description": docs["apiVersion"]}
	all["kind"] = doc{"type": "string", "description": docs["kind"]}
	all["metadata"] = meta
	if s.v3 {
		all["metadata"] = doc{"allOf": []any{meta}}
	}
	definition["type"], definition["properties"] = "object", all
	definition["x-kubernetes-group-version-kind"] = []any{gvkDoc(gvk)}
	s.definitions[full] = definition
	return doc{"$ref": s.refPrefix + full}
}

func gvkDoc(gvk schema.GroupVersionKind) doc {
	return doc{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}

func modelName(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(named); ok {
		return n.OpenAPIModelName()
	}
	// k8s.io/api/core/v1.Pod is io.k8s.api.core.v1.Pod
	path := strings.Split(t.PkgPath(), "/")
	host := strings.Split(path[0], ".")
	for i, j := 0, len(host)-1; i < j; i, j = i+1, j-1 {
		host[i], host[j] = host[j], host[i]
	}
	return strings.Join(append(append(host, path[1:]...), t.Name()), ".")
}

func (s *schemas) define(t reflect.Type, name string) doc {
	d := doc{}
	zero := reflect.Zero(t).Interface()
	marked := markersOf(t)
	if text := cmp.Or(marked.Doc, docOf(zero)[""]); text != "" {
		d["description"] = text
	}
	switch v := zero.(type) {
	case eitherOf:
		if !s.v3 {
			break
		}
		var either []any
		for _, kind := range v.OpenAPIV3OneOfTypes() {
			either = append(either, doc{"type": kind})
		}
		d["oneOf"] = either
		if f := zero.(scalar).OpenAPISchemaFormat(); f != "" {
			d["format"] = f
		}
		return d
	}
	if v, ok := zero.(scalar); ok {
		d["type"] = v.OpenAPISchemaType()[0]
		if f := v.OpenAPISchemaFormat(); f != "" {
			d["format"] = f
		}
		return d
	}
	d["type"] = "object"
	if freeForm[name] {
		return d
	}
	properties, required := doc{}, []string{}
	s.addFields(t, properties, &required)
	if len(properties) > 0 {
		d["properties"] = properties
	}
	if len(required) > 0 {
		d["required"] = required
	}
	if marked.Atomic {
		d["x-kubernetes-map-type"] = "atomic"
	}
	if marked.Union != nil {
		d["x-kubernetes-unions"] = []any{marked.Union}
	}
	return d
}

// freeForm types hold any JSON object.
var freeForm = map[string]bool{
	"io.k8s.apimachinery.pkg.runtime.RawExtension":  true,
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": true,
	"io.k8s.apimachinery.pkg.apis.meta.v1.Patch":    true,
}

func docOf(zero any) map[string]string {
	if d, ok := zero.(documented); ok {
		return d.SwaggerDoc()
	}
	return nil
}

func (s *schemas) addFields(t reflect.Type, properties doc, required *[]string) {
	docs, marked := docOf(reflect.Zero(t).Interface()), markersOf(t)
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" && f.Anonymous {
			s.addFields(f.Type, properties, required)
			continue
		}
		if name == "" {
			continue
		}
		m := marked.Fields[name]
		omitEmpty := strings.Contains(options, "omitempty")
		p := s.typeOf(f.Type)
		text := cmp.Or(m.Doc, docs[name])
		if values := enumDoc(markersOf(pointed(f.Type)).Enum); values != "" {
			text = strings.TrimSpace(text + "\n\n" + values)
		}
		if text != "" {
			p["description"] = text
		}
		switch {
		case m.Default != nil:
			s.setDefault(p, m.Default)
		default:
			s.setDefault(p, zeroOf(f.Type, omitEmpty))
		}
		if typ := f.Tag.Get("patchStrategy"); typ != "" {
			p["x-kubernetes-patch-strategy"] = typ
		}
		if key := f.Tag.Get("patchMergeKey"); key != "" {
			p["x-kubernetes-patch-merge-key"] = key
		}
		m.addTo(p)
		properties[name] = s.wrapped(p)
		if m.Required || !omitEmpty && !strings.Contains(options, "omitzero") && !m.Optional {
			*required = append(*required, name)
		}
	}
}

func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// setDefault sets the default of a schema; only OpenAPI 3 has them.
func (s *schemas) setDefault(p doc, v any) {
	if s.v3 && v != nil {
		p["default"] = v
	}
}

// zeroOf is the default of what Go fills in where JSON has nothing, as upstream writes it; nil if there is none.
func zeroOf(t reflect.Type, omitEmpty bool) any {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Array, reflect.Interface:
		return nil
	case reflect.Struct:
		if t.NumField() == 1 && t.Field(0).Anonymous {
			return zeroOf(t.Field(0).Type, omitEmpty)
		}
		return doc{}
	}
	if omitEmpty {
		return nil
	}
	return reflect.Zero(t).Interface()
}

// wrapped is a schema in which a reference has no neighbours: OpenAPI 3 does not allow them.
func (s *schemas) wrapped(p doc) doc {
	if ref, ok := p["$ref"]; ok && s.v3 && len(p) > 1 {
		delete(p, "$ref")
		p["allOf"] = []any{doc{"$ref": ref}}
	}
	return p
}

// element is the schema of the elements of a list or map.
func (s *schemas) element(t reflect.Type) doc {
	p := s.typeOf(t)
	s.setDefault(p, zeroOf(t, false))
	return s.wrapped(p)
}

func (s *schemas) typeOf(t reflect.Type) doc {
	t = pointed(t)
	switch t.Kind() {
	case reflect.String:
		d := doc{"type": "string"}
		if values := markersOf(t).Enum; len(values) > 0 {
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = v.Value
			}
			d["enum"] = list
		}
		return d
	case reflect.Bool:
		return doc{"type": "boolean"}
	case reflect.Int32, reflect.Uint32, reflect.Int16, reflect.Uint16, reflect.Int8, reflect.Uint8:
		return doc{"type": "integer", "format": "int32"}
	case reflect.Int64, reflect.Int, reflect.Uint64, reflect.Uint:
		return doc{"type": "integer", "format": "int64"}
	case reflect.Float32, reflect.Float64:
		return doc{"type": "number", "format": "double"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return doc{"type": "string", "format": "byte"}
		}
		return doc{"type": "array", "items": s.element(t.Elem())}
	case reflect.Map:
		return doc{"type": "object", "additionalProperties": s.element(t.Elem())}
	case reflect.Struct:
		return s.ref(t)
	case reflect.Interface:
		return doc{"type": "object"}
	}
	s.err = cmp.Or(s.err, fmt.Errorf("there is no schema for %s", t))
	return doc{}
}
