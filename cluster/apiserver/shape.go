package apiserver

import (
	"encoding/json"
	"fmt"
	"reflect"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// toStored is what a client sent, in the shape in which it is kept; it differs only for
// a kind that is another name of a stored one. What that version filled in where today's
// fills in something else is put in here, while it still has its own shape.
func (r *resource) toStored(obj api.Object) api.Object {
	if r.ToStored == nil {
		return obj
	}
	call(r.Default, obj)
	return r.ToStored(obj)
}

// view is a stored object in the shape in which this resource shows it.
func (r *resource) view(obj api.Object) api.Object {
	if r.FromStored == nil {
		return obj
	}
	return r.FromStored(obj)
}

// encoded is an item as a GET answers it, in JSON or protobuf.
func (r *resource) encoded(item *store.Item, m *negotiate.Media) ([]byte, error) {
	if r.FromStored == nil {
		return item.Encoded(m.Store)
	}
	return negotiate.Encode(r.view(item.Object()), r.GroupVersionKind, m, false)
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
