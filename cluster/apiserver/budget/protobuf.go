package budget

import (
	"bytes"
	"reflect"

	"google.golang.org/protobuf/encoding/protowire"

	"wheelhouse/cluster/api"
)

// Protobuf checks the body of an object of a type, by the fields that the type has: one
// that it does not have costs nothing, and what is in a text is no field.
func Protobuf(body []byte, obj any) error {
	if len(body) <= short {
		return nil
	}
	var count values
	t := reflect.TypeOf(obj).Elem()
	if raw, ok := bytes.CutPrefix(body, []byte("k8s\x00")); ok {
		return api.EachField(raw, func(number protowire.Number, content []byte) error {
			if number == 2 { // raw of runtime.Unknown
				return count.message(content, t)
			}
			return nil
		})
	}
	return count.message(body, t)
}

// message counts the fields of one.
func (v *values) message(b []byte, t reflect.Type) error {
	return api.EachField(b, func(number protowire.Number, content []byte) error {
		inner := api.FieldOf(t, number)
		if inner == nil {
			return nil
		}
		cost := 1
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct {
				cost = objectCost
			}
			inner = inner.Elem()
		}
		if err := v.add(cost); err != nil {
			return err
		}
		switch {
		case inner.Kind() == reflect.Struct:
			return v.message(content, inner)
		case inner.Kind() == reflect.Map && inner.Elem().Kind() != reflect.String:
			return v.entry(content, inner.Elem())
		}
		return nil
	})
}

// entry counts what is in the value of an entry of a map.
func (v *values) entry(b []byte, t reflect.Type) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	return api.EachField(b, func(number protowire.Number, content []byte) error {
		if number == 2 {
			return v.message(content, t)
		}
		return nil
	})
}
