package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// toStored returns what a client sent in the version in which it is stored. What the
// version of the request has as default where the kind has something else is filled in
// before.
func (r *request) toStored(obj api.Object) (api.Object, error) {
	if r.res.Stored == nil {
		return obj, nil
	}
	call(r.res.Default, obj)
	return one(r.res.ToStored(r.Context(), obj))
}

// fromStored returns a stored object in the version in which the resource is served.
func (r *resource) fromStored(ctx context.Context, obj api.Object) (api.Object, error) {
	if r.Stored == nil {
		return obj, nil
	}
	return one(r.FromStored(ctx, obj))
}

func one(list []api.Object, err error) (api.Object, error) {
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// encoded returns an item as a GET answers it, in JSON or protobuf.
func (r *resource) encoded(ctx context.Context, item *store.Item, m *negotiate.Media) ([]byte, error) {
	if r.Stored == nil {
		return item.Encoded(m.Store)
	}
	obj, err := r.fromStored(ctx, item.Object())
	if err != nil {
		return nil, err
	}
	return negotiate.Encode(obj, r.GroupVersionKind, m, false)
}

// encodedAll does the same for the items of a list. What has to be converted is converted
// in one call.
func (r *resource) encodedAll(ctx context.Context, items []*store.Item, m *negotiate.Media) (all [][]byte, err error) {
	all = make([][]byte, len(items))
	if r.Stored == nil {
		for i, item := range items {
			if all[i], err = item.Encoded(m.Store); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	converted, err := r.FromStored(ctx, objectsOf(items)...)
	if err != nil {
		return nil, err
	}
	for i, obj := range converted {
		if all[i], err = negotiate.Encode(obj, r.GroupVersionKind, m, false); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func objectsOf(items []*store.Item) []api.Object {
	objects := make([]api.Object, len(items))
	for i, item := range items {
		objects[i] = item.Object()
	}
	return objects
}

// raw is an object's JSON with its kind, which a shared object may not carry.
func (r *resource) raw(obj api.Object) ([]byte, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", r.Kind.Kind, obj.GetName(), err)
	}
	return r.withKind(data), nil
}

// withoutSpec is a shallow copy of an object with an empty Spec: what a patch of the
// status does not need it need not convert, and that is most of a pod.
func withoutSpec(obj api.Object) api.Object {
	from := reflect.ValueOf(obj).Elem()
	to := reflect.New(from.Type())
	to.Elem().Set(from)
	if spec := to.Elem().FieldByName("Spec"); spec.IsValid() {
		spec.SetZero()
	}
	return to.Interface().(api.Object)
}
