package api

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// of returns the kind as it is served in the version.
func (v *Version) of(k *Kind) *Kind {
	s := &Kind{
		GroupVersionKind: v.WithKind(k.Kind),
		Plural:           k.Plural, Singular: k.Singular, Short: v.Short, Namespaced: k.Namespaced, Verbs: k.Verbs, Virtual: k.Virtual, HasStatus: k.HasStatus,
		Connect: v.Connect, New: v.New, NewList: v.NewList, Codec: v.Codec, Schema: v.Schema, Media: k.Media, Custom: k.Custom,
		Default: v.Default, Validate: v.Validate, ValidateUpdate: v.ValidateUpdate,
		Columns: v.Columns, Row: v.Row, Fields: v.Fields,
		Stored: k, Converter: v.Converter, Deprecated: v.Deprecated,
	}
	if v.Media != nil {
		s.Media = v.Media
	}
	if v.Group == k.Group {
		s.Short, s.Categories = k.Short, k.Categories
	}
	if k.Scale != nil {
		s.Scale = &Scale{Get: k.Scale.Get, Set: k.Scale.Set, Retired: v.Scale}
	}
	return s
}

// Storage returns the kind as it is stored: itself, or the one of which it is a version.
func (k *Kind) Storage() *Kind {
	if k.Stored != nil {
		return k.Stored
	}
	return k
}

// Validators returns the rules for clients of the version, which get objects in the stored shape.
func (k *Kind) Validators() (create func(Object) field.ErrorList, update func(obj, old Object) field.ErrorList) {
	create, update = k.Storage().Validate, k.Storage().ValidateUpdate
	if k.Validate != nil {
		create = k.Validate
	}
	if k.ValidateUpdate != nil {
		update = k.ValidateUpdate
	}
	return create, update
}

// ToStored converts objects of the kind into its stored version.
func (k *Kind) ToStored(ctx context.Context, in ...Object) ([]Object, error) {
	return k.convert(ctx, k.Storage().GroupVersionKind, in)
}

// FromStored converts stored objects into the version of the kind.
func (k *Kind) FromStored(ctx context.Context, in ...Object) ([]Object, error) {
	return k.convert(ctx, k.GroupVersionKind, in)
}

func (k *Kind) convert(ctx context.Context, to schema.GroupVersionKind, in []Object) ([]Object, error) {
	if k.Stored == nil || len(in) == 0 {
		return in, nil
	}
	out, err := k.Converter.Convert(ctx, to.GroupVersion().String(), in)
	if err == nil && len(out) != len(in) {
		err = fmt.Errorf("%d objects became %d", len(in), len(out))
	}
	if err != nil {
		return nil, fmt.Errorf("converting %s to %s: %w", k.Plural, to.GroupVersion(), err)
	}
	for _, obj := range out {
		obj.GetObjectKind().SetGroupVersionKind(to)
	}
	return out, nil
}

// Conversion is the Converter of functions that cannot fail, between a version with the Go
// type F and the stored type T.
func Conversion[F, T Object](toStored func(F) T, fromStored func(T) F) Converter {
	return conversion[F, T]{toStored, fromStored}
}

type conversion[F, T Object] struct {
	toStored   func(F) T
	fromStored func(T) F
}

func (c conversion[F, T]) Convert(_ context.Context, to string, in []Object) ([]Object, error) {
	out := make([]Object, len(in))
	for i, obj := range in {
		switch obj := obj.(type) {
		case F:
			out[i] = c.toStored(obj)
		case T: //nolint:gocritic // the two are distinct types wherever this is instantiated
			out[i] = c.fromStored(obj)
		default:
			return nil, fmt.Errorf("%T cannot be converted to %s", obj, to)
		}
	}
	return out, nil
}
