package openapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"

	"wheelhouse/cluster/api"
)

// schemas collects the definitions that the paths of a document lead to.
type schemas struct {
	refPrefix   string
	v3          bool
	definitions doc
	merge       *mergeRules
	err         error // the first
}

func newSchemas(refPrefix string, v3 bool) *schemas {
	return &schemas{refPrefix: refPrefix, v3: v3, definitions: doc{}, merge: loadMergeRules()}
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
		s.definitions[name] = s.define(t, name)
	}
	return doc{"$ref": s.refPrefix + name}
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
	if text := docOf(zero)[""]; text != "" {
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
	atom := s.merge.types[name]
	properties, required := doc{}, []string{}
	s.addFields(t, atom, properties, &required)
	if len(properties) > 0 {
		d["properties"] = properties
	}
	if len(required) > 0 {
		d["required"] = required
	}
	if atom != nil && atom.Map != nil && atom.Map.ElementRelationship == smdschema.Atomic {
		d["x-kubernetes-map-type"] = "atomic"
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

func (s *schemas) addFields(t reflect.Type, atom *smdschema.Atom, properties doc, required *[]string) {
	docs := docOf(reflect.Zero(t).Interface())
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" && f.Anonymous {
			s.addFields(f.Type, atom, properties, required)
			continue
		}
		if name == "" {
			continue
		}
		p := s.describe(f.Type, docs[name])
		if typ := f.Tag.Get("patchStrategy"); typ != "" {
			p["x-kubernetes-patch-strategy"] = typ
		}
		if key := f.Tag.Get("patchMergeKey"); key != "" {
			p["x-kubernetes-patch-merge-key"] = key
		}
		addMergeRules(p, atom, name)
		properties[name] = p
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && !optional[t.PkgPath()+"."+t.Name()+"."+f.Name] {
			*required = append(*required, name)
		}
	}
}

// describe is the schema of a field, with its comment. A reference can have no
// neighbours in OpenAPI 3, so it is wrapped there.
func (s *schemas) describe(t reflect.Type, description string) doc {
	p := s.typeOf(t)
	if description == "" {
		return p
	}
	if _, isRef := p["$ref"]; isRef && s.v3 {
		return doc{"allOf": []any{p}, "description": description}
	}
	p["description"] = description
	return p
}

func (s *schemas) typeOf(t reflect.Type) doc {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		d := doc{"type": "string"}
		if values := enums[t]; len(values) > 0 {
			list := make([]any, len(values))
			for i, v := range values {
				list[i] = v
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
		return doc{"type": "array", "items": s.typeOf(t.Elem())}
	case reflect.Map:
		return doc{"type": "object", "additionalProperties": s.typeOf(t.Elem())}
	case reflect.Struct:
		return s.ref(t)
	case reflect.Interface:
		return doc{"type": "object"}
	}
	s.err = cmp.Or(s.err, fmt.Errorf("there is no schema for %s", t))
	return doc{}
}
