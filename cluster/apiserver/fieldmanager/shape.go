package fieldmanager

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
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

// shape is a Go type with what the schema says of lists and maps (hints).
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

// shapeOfType derives the shape of a kind's Go type.
func shapeOfType(typ reflect.Type) (*shape, error) {
	return make(shapes).of(typ, "")
}

// shapes are those that are derived already: types may be recursive.
type shapes map[hinted]*shape

type hinted struct {
	typ  reflect.Type
	hint string
}

func (s shapes) of(typ reflect.Type, hint string) (*shape, error) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if hint == "" && typ.Kind() == reflect.Struct {
		hint = hints[nameOf(typ)]
	}
	at := hinted{typ, hint}
	if known := s[at]; known != nil {
		return known, nil
	}
	sh := &shape{typ: typ, entry: value.TypeReflectEntryOf(typ)}
	s[at] = sh
	switch {
	case typ == reflect.TypeFor[runtime.RawExtension]():
		return nil, fmt.Errorf("%s may be anything", typ)
	case sh.entry.CanConvertToUnstructured():
		return sh, nil
	case typ.Kind() == reflect.Struct:
		return sh, s.structOf(sh, hint)
	case typ.Kind() == reflect.Map:
		return sh, s.mapOf(sh, hint)
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8:
		return sh, s.listOf(sh, hint)
	}
	return sh, nil
}

func (s shapes) structOf(sh *shape, hint string) error {
	sh.container = true
	if hint == atomic {
		return nil
	}
	sh.form = fields
	for _, f := range sh.entry.OrderedFields() {
		field := fieldOf(sh.typ, f.JsonName)
		of, err := s.of(field, hints[nameOf(sh.typ)+"."+f.JsonName])
		if err != nil {
			return fmt.Errorf("%s: %w", f.JsonName, err)
		}
		sh.fields = append(sh.fields, fieldShape{f, of, `"f:` + f.JsonName + `":{`})
	}
	return nil
}

func (s shapes) mapOf(sh *shape, hint string) (err error) {
	sh.container = true
	if hint == atomic {
		return nil
	}
	sh.form = keyed
	sh.elem, err = s.of(sh.typ.Elem(), "")
	return err
}

// listOf: a list without a hint is atomic.
func (s shapes) listOf(sh *shape, hint string) (err error) {
	sh.container = true
	if hint == "" {
		return nil
	}
	if sh.elem, err = s.of(sh.typ.Elem(), ""); err != nil {
		return err
	}
	if hint == scalars {
		sh.form = set
		return nil
	}
	sh.form = list
	for key := range strings.SplitSeq(hint, ",") {
		name, def, has := strings.Cut(key, "=")
		entry := sh.elem.entry.Fields()[name]
		if entry == nil {
			return fmt.Errorf("the elements of %s have no %s", sh.typ, name)
		}
		k := keyShape{FieldCacheEntry: entry}
		if has {
			k.def = def
			if kind := fieldOf(sh.elem.typ, name); kind.Kind() == reflect.Int32 {
				k.def = 0
			}
		}
		sh.keys = append(sh.keys, k)
	}
	return nil
}

// nameOf is how hints name a type: core/v1.Container.
func nameOf(typ reflect.Type) string {
	parts := strings.Split(typ.PkgPath(), "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/") + "." + typ.Name()
}

// fieldOf returns the type of a struct's field, which may be one of an inlined struct; nil
// where it has none of that name.
func fieldOf(typ reflect.Type, name string) reflect.Type {
	zero := reflect.New(typ).Elem()
	entry := value.TypeReflectEntryOf(typ).Fields()[name]
	if entry == nil {
		return nil
	}
	return entry.GetFrom(zero).Type()
}
