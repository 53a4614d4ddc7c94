package api

import (
	"reflect"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// EachField calls f with each length-delimited field of a protobuf message. It ends at malformed data, without
// an error.
func EachField(b []byte, f func(number protowire.Number, content []byte) error) error {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil
		}
		b = b[n:]
		if wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return nil
			}
			b = b[n:]
			continue
		}
		content, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil
		}
		if err := f(number, content); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

var wireFields sync.Map // of reflect.Type to map[protowire.Number]reflect.Type

// FieldOf returns the type of the field with a number in a struct's protobuf message, nil if there is none.
func FieldOf(t reflect.Type, number protowire.Number) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	if known, ok := wireFields.Load(t); ok {
		return known.(map[protowire.Number]reflect.Type)[number]
	}
	fields := map[protowire.Number]reflect.Type{}
	for i := range t.NumField() {
		parts := strings.Split(t.Field(i).Tag.Get("protobuf"), ",")
		if len(parts) < 2 {
			continue
		}
		if n, err := strconv.Atoi(parts[1]); err == nil {
			fields[protowire.Number(n)] = t.Field(i).Type
		}
	}
	wireFields.Store(t, fields)
	return fields[number]
}
