package fieldmanager

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// encoder writes what a new object has more than an empty one, as FieldsV1. It is comparison
// and encoding in one, without a set between them, for the write that there are most of.
type encoder struct {
	buf []byte
	err error
}

// encodeNew returns the fields of a new object but those that skip names; nil if it has none.
func (sh *shape) encodeNew(empty, obj reflect.Value, skip map[string]bool) ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 1024)}
	e.buf = append(e.buf, '{')
	base, now := of(empty), of(obj)
	for i := range sh.fields {
		f := &sh.fields[i]
		if skip[f.JsonName] || f.JsonName == "apiVersion" || f.JsonName == "kind" {
			continue
		}
		e.field(f, base, now, f.JsonName == "metadata")
	}
	if len(e.buf) == 1 || e.err != nil {
		return nil, e.err
	}
	return append(e.buf, '}'), nil
}

func (e *encoder) field(f *fieldShape, base, now operand, metadata bool) {
	was, is := f.of(base), f.of(now)
	if !is.present {
		return
	}
	start := e.begin()
	e.buf = append(e.buf, f.key...)
	e.end(start, e.content(f.shape, was, is, metadata))
}

// begin starts an entry of the open object.
func (e *encoder) begin() (start int) {
	start = len(e.buf)
	if e.buf[start-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	return start
}

// end closes an entry, or drops it when it is neither owned nor has fields that are.
func (e *encoder) end(start int, owned bool) {
	if !owned && e.buf[len(e.buf)-1] == '{' {
		e.buf = e.buf[:start]
		return
	}
	e.buf = append(e.buf, '}')
}

// content writes the fields of a value and reports whether it is owned itself.
func (e *encoder) content(sh *shape, base, now operand, metadata bool) (owned bool) {
	if sh.form == leaf || (sh.isEmpty(base) && sh.isEmpty(now)) {
		return !base.present || !equal(sh.entry, base, now)
	}
	if !base.present {
		e.buf = append(e.buf, `".":{}`...)
	}
	switch sh.form {
	case fields:
		for i := range sh.fields {
			if f := &sh.fields[i]; !metadata || !serverOwned[f.JsonName] {
				e.field(f, base, now, false)
			}
		}
	case keyed:
		keys := make([]string, 0, now.Len())
		for _, k := range now.MapKeys() {
			keys = append(keys, k.String())
		}
		slices.Sort(keys)
		for i := range keys {
			start := e.begin()
			e.name(keys[i])
			e.end(start, e.content(sh.elem, operand{}, of(now.MapIndex(reflect.ValueOf(keys[i]).Convert(now.Type().Key()))), false))
		}
	default:
		e.elements(sh, now)
	}
	return !base.present
}

func (e *encoder) elements(sh *shape, now operand) {
	all := make([]element, 0, now.Len())
	for i := range now.Len() {
		v := of(now.Index(i))
		at, err := sh.elementOf(v)
		if err != nil {
			e.err = err
			return
		}
		all = append(all, element{PathElement: at, operand: v})
	}
	if len(all) > 1 {
		slices.SortStableFunc(all, func(a, b element) int { return a.Compare(b.PathElement) })
	}
	for i := 0; i < len(all); {
		start := e.begin()
		e.element(all[i].PathElement)
		next := i + 1
		for next < len(all) && all[next].Compare(all[i].PathElement) == 0 {
			next++
		}
		// Those that are alike are owned together, without their fields.
		e.end(start, next > i+1 || e.content(sh.elem, operand{}, all[i].operand, false))
		i = next
	}
}

// name writes the name of a field, and opens its object.
func (e *encoder) name(s string) {
	if !simple(s) {
		e.anyElement(fieldpath.PathElement{FieldName: &s})
		return
	}
	e.buf = append(e.buf, `"f:`...)
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, `":{`...)
}

// element writes the key or value of an element of a list, and opens its object.
func (e *encoder) element(at fieldpath.PathElement) {
	start := len(e.buf)
	ok := true
	if at.Key != nil {
		e.buf = append(e.buf, `"k:{`...)
		for i, f := range *at.Key {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			e.buf = append(e.buf, `\"`...)
			e.buf = append(e.buf, f.Name...)
			e.buf = append(e.buf, `\":`...)
			ok = ok && e.scalar(f.Value)
		}
		e.buf = append(e.buf, `}":{`...)
	} else {
		e.buf = append(e.buf, `"v:`...)
		ok = e.scalar(*at.Value)
		e.buf = append(e.buf, `":{`...)
	}
	if !ok {
		e.buf = e.buf[:start]
		e.anyElement(at)
	}
}

// scalar writes a value within a string, if that is simple.
func (e *encoder) scalar(v value.Value) bool {
	switch {
	case v.IsString() && simple(v.AsString()):
		e.buf = append(e.buf, `\"`...)
		e.buf = append(e.buf, v.AsString()...)
		e.buf = append(e.buf, `\"`...)
		return true
	case v.IsInt():
		e.buf = strconv.AppendInt(e.buf, v.AsInt(), 10)
		return true
	}
	return false
}

// simple reports whether JSON has a text as it is.
func simple(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// anyElement lets the library write the name of an entry.
func (e *encoder) anyElement(at fieldpath.PathElement) {
	text, err := fieldpath.NewSet(fieldpath.Path{at}).ToJSON()
	if err != nil {
		e.err = err
		e.buf = append(e.buf, `"":{`...)
		return
	}
	e.buf = append(e.buf, bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("{")), []byte("}}"))...)
}
