package fieldmanager

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// comparison is what one write does to the fields of an object. It gives the same sets as
// typed.TypedValue.Compare, without the fields that nobody owns.
type comparison struct {
	added, modified, removed *fieldpath.Set

	path fieldpath.Path
	err  error
}

func newComparison() *comparison {
	return &comparison{added: &fieldpath.Set{}, modified: &fieldpath.Set{}, removed: &fieldpath.Set{}, path: make(fieldpath.Path, 0, 16)}
}

func (c *comparison) empty() bool {
	return c.added.Empty() && c.modified.Empty() && c.removed.Empty()
}

// operand is a value on one side. What is omitted in JSON is absent, which is not null.
type operand struct {
	reflect.Value
	present bool
}

// of returns the operand of a field, list element or map value, without its pointers.
func of(v reflect.Value) operand {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return operand{v, true}
}

func (o operand) null() bool {
	switch o.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return o.IsNil()
	}
	return false
}

func (f *fieldShape) of(parent operand) operand {
	if !parent.present || parent.null() {
		return operand{}
	}
	v := f.GetFrom(parent.Value)
	if f.CanOmit(v) {
		return operand{}
	}
	return of(v)
}

// objects compares two objects but for the fields that skip names.
func (c *comparison) objects(sh *shape, old, obj reflect.Value, skip map[string]bool) {
	was, is := of(old), of(obj)
	for i := range sh.fields {
		f := &sh.fields[i]
		if skip[f.JsonName] || f.JsonName == "apiVersion" || f.JsonName == "kind" {
			continue
		}
		c.field(f, was, is, f.JsonName == "metadata")
	}
}

// serverOwned are the fields of the metadata that nobody owns, as upstream.
var serverOwned = map[string]bool{
	"name": true, "namespace": true, "creationTimestamp": true, "selfLink": true, "uid": true, "clusterName": true,
	"generation": true, "managedFields": true, "resourceVersion": true,
}

func (c *comparison) field(f *fieldShape, was, is operand, metadata bool) {
	old, now := f.of(was), f.of(is)
	if !old.present && !now.present {
		return
	}
	c.path = append(c.path, fieldpath.PathElement{FieldName: &f.JsonName})
	if metadata && old.present && now.present {
		for i := range f.shape.fields {
			if m := &f.shape.fields[i]; !serverOwned[m.JsonName] {
				c.field(m, old, now, false)
			}
		}
	} else {
		c.values(f.shape, old, now)
	}
	c.path = c.path[:len(c.path)-1]
}

// values compares two values of which one at least is present.
func (c *comparison) values(sh *shape, old, now operand) {
	if sh.form == leaf || (sh.isEmpty(old) && sh.isEmpty(now)) {
		c.leaf(sh, old, now)
		return
	}
	if sh.form != fields && old.present && now.present && equal(sh.entry, old, now) {
		return // most lists and maps of most writes
	}
	switch sh.form {
	case fields:
		for i := range sh.fields {
			c.field(&sh.fields[i], old, now, false)
		}
	case keyed:
		c.keyed(sh, old, now)
	default:
		c.elements(sh, old, now)
	}
	if !old.present {
		c.added.Insert(c.path)
	} else if !now.present {
		c.removed.Insert(c.path)
	}
}

// isEmpty reports whether a list or map has nothing in it.
func (sh *shape) isEmpty(o operand) bool {
	if !o.present || o.null() {
		return true
	}
	if sh.form != fields {
		return o.Len() == 0
	}
	for i := range sh.fields {
		if !sh.fields[i].CanOmit(sh.fields[i].GetFrom(o.Value)) {
			return false
		}
	}
	return true
}

func (c *comparison) leaf(sh *shape, old, now operand) {
	switch {
	case !old.present:
		c.added.Insert(c.path)
	case !now.present:
		c.removed.Insert(c.path)
	case !equal(sh.entry, old, now):
		c.modified.Insert(c.path)
	}
}

// keyed compares maps, in the order of their keys: to insert into the middle of a set costs
// its length.
func (c *comparison) keyed(sh *shape, old, now operand) {
	var keys []string
	for _, o := range []operand{old, now} {
		if o.present && !o.null() {
			for _, k := range o.MapKeys() {
				keys = append(keys, k.String())
			}
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	at := func(o operand, key string) operand {
		if !o.present || o.null() {
			return operand{}
		}
		v := o.MapIndex(reflect.ValueOf(key).Convert(o.Type().Key()))
		if !v.IsValid() {
			return operand{}
		}
		return of(v)
	}
	for i := range keys {
		c.path = append(c.path, fieldpath.PathElement{FieldName: &keys[i]})
		c.values(sh.elem, at(old, keys[i]), at(now, keys[i]))
		c.path = c.path[:len(c.path)-1]
	}
}

// element is an element of a list with its key or value.
type element struct {
	fieldpath.PathElement
	operand
	side int
}

// elements compares lists whose elements have keys or values. Elements that are
// alike in that are owned together.
func (c *comparison) elements(sh *shape, old, now operand) {
	var all []element
	for side, o := range []operand{old, now} {
		if !o.present || o.null() {
			continue
		}
		for i := range o.Len() {
			v := of(o.Index(i))
			at, err := sh.elementOf(v)
			if err != nil {
				c.err = err
				return
			}
			all = append(all, element{at, v, side})
		}
	}
	slices.SortStableFunc(all, func(a, b element) int { return a.Compare(b.PathElement) })
	for len(all) > 0 {
		end := 1
		for end < len(all) && all[end].Compare(all[0].PathElement) == 0 {
			end++
		}
		c.path = append(c.path, all[0].PathElement)
		c.alike(sh.elem, all[:end])
		c.path = c.path[:len(c.path)-1]
		all = all[end:]
	}
}

// alike compares the elements of both lists that have the same keys or value.
func (c *comparison) alike(sh *shape, all []element) {
	n := 0
	for n < len(all) && all[n].side == 0 {
		n++
	}
	old, now := all[:n], all[n:]
	first := func(of []element) operand {
		if len(of) == 0 {
			return operand{}
		}
		return of[0].operand
	}
	switch {
	case len(old) <= 1 && len(now) <= 1:
		c.values(sh, first(old), first(now))
	case len(old) > 1 && len(now) > 1:
		if !slices.EqualFunc(old, now, func(a, b element) bool { return equal(sh.entry, a.operand, b.operand) }) {
			c.modified.Insert(c.path)
		}
	case len(old) > 1:
		if len(now) > 0 {
			c.values(sh, operand{}, first(now))
		}
		c.removed.Insert(c.path)
	default:
		if len(old) > 0 {
			c.values(sh, first(old), operand{})
		}
		c.added.Insert(c.path)
	}
}

var errNull = errors.New("an element is null")

// elementOf returns the key or value of an element of a list.
func (sh *shape) elementOf(v operand) (fieldpath.PathElement, error) {
	if v.null() {
		return fieldpath.PathElement{}, errNull
	}
	if sh.form == set {
		scalar, err := scalarOf(sh.elem.entry, v)
		val := value.NewValueInterface(scalar)
		return fieldpath.PathElement{Value: &val}, err
	}
	keys := make(value.FieldList, 0, len(sh.keys))
	for i := range sh.keys {
		k := &sh.keys[i]
		f := k.GetFrom(v.Value)
		scalar := k.def
		if !k.CanOmit(f) {
			var err error
			if scalar, err = scalarOf(k.TypeEntry, of(f)); err != nil {
				return fieldpath.PathElement{}, err
			}
		} else if scalar == nil {
			continue
		}
		keys = append(keys, value.Field{Name: k.JsonName, Value: value.NewValueInterface(scalar)})
	}
	if len(keys) == 0 {
		return fieldpath.PathElement{}, fmt.Errorf("an element of %s has none of its keys", sh.typ)
	}
	return fieldpath.PathElement{Key: &keys}, nil
}

// scalarOf returns a scalar as JSON has it.
func scalarOf(entry *value.TypeReflectCacheEntry, v operand) (any, error) {
	if entry.CanConvertToUnstructured() {
		out, err := entry.ToUnstructured(v.Value)
		if err != nil {
			return nil, fmt.Errorf("reading a %s: %w", v.Type(), err)
		}
		return out, nil
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Pointer:
		return nil, nil
	}
	return nil, fmt.Errorf("%s is no scalar", v.Type())
}

// equal compares two values as JSON has them.
func equal(entry *value.TypeReflectCacheEntry, a, b operand) bool {
	if a.null() || b.null() {
		return a.null() == b.null()
	}
	if entry == nil {
		entry = value.TypeReflectEntryOf(a.Type())
	}
	if entry.CanConvertToUnstructured() {
		return equalConverted(entry, a.Value, b.Value)
	}
	switch a.Kind() {
	case reflect.Struct:
		for _, f := range entry.OrderedFields() {
			if (f.JsonName == "kind" || f.JsonName == "apiVersion") && hasTypeMeta(a.Type()) {
				continue // an object within another may be stored without them
			}
			x, y := f.GetFrom(a.Value), f.GetFrom(b.Value)
			if omit := f.CanOmit(x); omit != f.CanOmit(y) || !omit && !equal(nil, of(x), of(y)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return equalMaps(a, b)
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equal(nil, of(a.Index(i)), of(b.Index(i))) {
				return false
			}
		}
		return true
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

func hasTypeMeta(typ reflect.Type) bool {
	return typ.NumField() > 0 && typ.Field(0).Type == reflect.TypeFor[metav1.TypeMeta]()
}

func equalMaps(a, b operand) bool {
	if a.Len() != b.Len() {
		return false
	}
	for _, k := range a.MapKeys() {
		v := b.MapIndex(k)
		if !v.IsValid() || !equal(nil, of(a.MapIndex(k)), of(v)) {
			return false
		}
	}
	return true
}

// equalConverted compares values that are encoded in a way of their own.
func equalConverted(entry *value.TypeReflectCacheEntry, a, b reflect.Value) bool {
	switch x := a.Interface().(type) {
	case metav1.Time:
		y := b.Interface().(metav1.Time)
		return x.IsZero() == y.IsZero() && x.Unix() == y.Unix()
	case resource.Quantity:
		y := b.Interface().(resource.Quantity)
		return x.String() == y.String()
	case intstr.IntOrString:
		return x == b.Interface().(intstr.IntOrString)
	}
	left, err := entry.ToUnstructured(a)
	if err != nil {
		return false
	}
	right, err := entry.ToUnstructured(b)
	return err == nil && reflect.DeepEqual(left, right)
}
