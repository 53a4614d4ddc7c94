package fieldmanager

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	smdschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
)

// TestShapes compares the shapes of all kinds with those that the schema gives.
func TestShapes(t *testing.T) {
	for _, k := range builtin.Table().Served() {
		if k.Virtual || kindsWithoutSchema[k.GroupVersion()] {
			continue
		}
		want, wrong := shapeBySchema(k.New(), k.GroupVersionKind)
		got, err := shapeOfType(reflect.TypeOf(k.New()))
		if (err == nil) != (wrong == nil) || (err != nil) != kindsOfAnyShape[k.Kind] {
			t.Errorf("%s: %v, by the schema %v", k.GroupVersionKind, err, wrong)
			continue
		}
		if err == nil {
			alike(t, k.Kind, got, want, map[*shape]bool{})
		}
	}
}

func alike(t *testing.T, path string, got, want *shape, seen map[*shape]bool) {
	t.Helper()
	if seen[want] {
		return
	}
	seen[want] = true
	if got.form != want.form || got.container != want.container || len(got.keys) != len(want.keys) || len(got.fields) != len(want.fields) || (got.elem == nil) != (want.elem == nil) {
		t.Errorf("%s (%s.%s): the shape is %d with the keys %v, by the schema %d with %v; see hints.go", path, nameOf(got.typ), path, got.form, got.keys, want.form, want.keys)
		return
	}
	for i := range got.keys {
		if got.keys[i].JsonName != want.keys[i].JsonName || got.keys[i].def != want.keys[i].def {
			t.Errorf("%s: the key %v, by the schema %v", path, got.keys[i], want.keys[i])
		}
	}
	for i := range got.fields {
		alike(t, path+"."+got.fields[i].JsonName, got.fields[i].shape, want.fields[i].shape, seen)
	}
	if got.elem != nil {
		alike(t, path+"[]", got.elem, want.elem, seen)
	}
}

func shapeBySchema(empty api.Object, kind schema.GroupVersionKind) (*shape, error) {
	empty.GetObjectKind().SetGroupVersionKind(kind)
	typed, err := types.ObjectToTyped(empty)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", kind, err)
	}
	derived := schemaShapes{typed.Schema(), map[shapeOf]*shape{}}
	return derived.of(reflect.TypeOf(empty), typed.TypeRef())
}

// schemaShapes derives shapes from a schema; those of the types that it has met are kept, as
// types may be recursive.
type schemaShapes struct {
	schema *smdschema.Schema
	known  map[shapeOf]*shape
}

type shapeOf struct {
	typ reflect.Type
	ref string
}

func (s *schemaShapes) of(typ reflect.Type, ref smdschema.TypeRef) (*shape, error) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	key := shapeOf{typ, describe(ref)}
	if known := s.known[key]; known != nil {
		return known, nil
	}
	atom, ok := s.schema.Resolve(ref)
	if !ok {
		return nil, fmt.Errorf("the schema does not describe %s", typ)
	}
	sh := &shape{typ: typ, entry: value.TypeReflectEntryOf(typ)}
	s.known[key] = sh
	switch {
	case sh.entry.CanConvertToUnstructured():
		if atom.Map != nil || atom.List != nil {
			return nil, fmt.Errorf("%s may be anything", typ)
		}
		return sh, nil
	case atom.Map != nil && atom.List == nil:
		return sh, s.mapOf(sh, atom.Map)
	case atom.List != nil && atom.Map == nil && atom.Scalar == nil:
		return sh, s.listOf(sh, atom.List)
	case atom.Scalar != nil && atom.Map == nil && atom.List == nil:
		return sh, nil
	}
	return nil, fmt.Errorf("%s may be of several kinds", typ)
}

func describe(ref smdschema.TypeRef) string {
	if ref.NamedType != nil {
		relation := ""
		if ref.ElementRelationship != nil {
			relation = string(*ref.ElementRelationship)
		}
		return *ref.NamedType + " " + relation
	}
	return fmt.Sprintf("%+v %+v %+v", ref.Inlined.Scalar, ref.Inlined.List, ref.Inlined.Map)
}

func (s *schemaShapes) mapOf(sh *shape, m *smdschema.Map) (err error) {
	sh.container = true
	if m.ElementRelationship == smdschema.Atomic {
		return nil
	}
	switch sh.typ.Kind() {
	case reflect.Struct:
		sh.form = fields
		for _, f := range sh.entry.OrderedFields() {
			ref := m.ElementType
			if declared, ok := m.FindField(f.JsonName); ok {
				ref = declared.Type
			}
			field := fieldOf(sh.typ, f.JsonName)
			of, err := s.of(field, ref)
			if err != nil {
				return fmt.Errorf("%s: %w", f.JsonName, err)
			}
			sh.fields = append(sh.fields, fieldShape{f, of, ""})
		}
		return nil
	case reflect.Map:
		sh.form = keyed
		if len(m.Fields) > 0 || sh.typ.Key().Kind() != reflect.String {
			return fmt.Errorf("%s is no map of values of one type", sh.typ)
		}
		sh.elem, err = s.of(sh.typ.Elem(), m.ElementType)
		return err
	}
	return fmt.Errorf("%s is no map", sh.typ)
}

func (s *schemaShapes) listOf(sh *shape, l *smdschema.List) (err error) {
	if sh.typ.Kind() != reflect.Slice || sh.typ.Elem().Kind() == reflect.Uint8 {
		return fmt.Errorf("%s is no list", sh.typ)
	}
	sh.container = true
	if l.ElementRelationship == smdschema.Atomic {
		return nil
	}
	if sh.elem, err = s.of(sh.typ.Elem(), l.ElementType); err != nil {
		return err
	}
	if len(l.Keys) == 0 {
		sh.form = set
		if sh.elem.container || sh.typ.Elem().Kind() == reflect.Pointer {
			return fmt.Errorf("%s is no set of scalars", sh.typ)
		}
		return nil
	}
	sh.form = list
	atom, ok := s.schema.Resolve(l.ElementType)
	if !ok || atom.Map == nil || sh.elem.typ.Kind() != reflect.Struct {
		return fmt.Errorf("%s is no list of structs", sh.typ)
	}
	keys := slices.Clone(l.Keys)
	slices.Sort(keys)
	for _, name := range keys {
		entry := sh.elem.entry.Fields()[name]
		if entry == nil {
			return fmt.Errorf("the elements of %s have no %s", sh.typ, name)
		}
		declared, _ := atom.Map.FindField(name)
		sh.keys = append(sh.keys, keyShape{entry, declared.Default})
	}
	return nil
}
