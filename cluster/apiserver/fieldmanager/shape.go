package fieldmanager

import (
	"fmt"
	"reflect"
	"slices"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// form is how the values of a shape are owned.
type form int

const (
	leaf   form = iota // as a whole: scalars, and lists and maps that are atomic
	fields             // a Go struct, each field on its own
	keyed              // a Go map, each value by its key
	set                // a list of scalars, each by its value
	list               // a list of structs, each by the values of its keys
)

// shape is a Go type as the schema sees it.
type shape struct {
	form  form
	typ   reflect.Type // without pointers
	entry *value.TypeReflectCacheEntry

	// container: the values are lists or maps, of which null and empty ones are leaves.
	container bool
	fields    []fieldShape // of a struct
	elem      *shape       // of the elements or values
	keys      []keyShape   // of a list by keys, sorted by name
}

type fieldShape struct {
	*value.FieldCacheEntry
	shape *shape
	key   string // how its entry begins
}

// keyShape is a field of the key of a list.
type keyShape struct {
	*value.FieldCacheEntry
	def any // the value of elements that leave it out, nil for none
}

// shapes derives shapes; those of the types it has met are kept, as types may be recursive.
type shapes struct {
	schema *schema.Schema
	known  map[shapeOf]*shape
}

type shapeOf struct {
	typ reflect.Type
	ref string
}

func (s *shapes) of(typ reflect.Type, ref schema.TypeRef) (*shape, error) {
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

func describe(ref schema.TypeRef) string {
	if ref.NamedType != nil {
		relation := ""
		if ref.ElementRelationship != nil {
			relation = string(*ref.ElementRelationship)
		}
		return *ref.NamedType + " " + relation
	}
	return fmt.Sprintf("%+v %+v %+v", ref.Inlined.Scalar, ref.Inlined.List, ref.Inlined.Map)
}

func (s *shapes) mapOf(sh *shape, m *schema.Map) (err error) {
	sh.container = true
	if m.ElementRelationship == schema.Atomic {
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
			field, _ := fieldOf(sh.typ, f.JsonName)
			of, err := s.of(field, ref)
			if err != nil {
				return fmt.Errorf("%s: %w", f.JsonName, err)
			}
			sh.fields = append(sh.fields, fieldShape{f, of, `"f:` + f.JsonName + `":{`})
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

func (s *shapes) listOf(sh *shape, l *schema.List) (err error) {
	if sh.typ.Kind() != reflect.Slice || sh.typ.Elem().Kind() == reflect.Uint8 {
		return fmt.Errorf("%s is no list", sh.typ)
	}
	sh.container = true
	if l.ElementRelationship == schema.Atomic {
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

// fieldOf returns the type of a struct's field, which may be one of an inlined struct.
func fieldOf(typ reflect.Type, name string) (reflect.Type, bool) {
	zero := reflect.New(typ).Elem()
	entry := value.TypeReflectEntryOf(typ).Fields()[name]
	if entry == nil {
		return nil, false
	}
	return entry.GetFrom(zero).Type(), true
}
