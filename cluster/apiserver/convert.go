package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// versions converts objects from one version of a kind to another, by way of the stored
// one: the owners of fields that were applied in one version are needed in another. The
// merge passes no context.
type versions struct {
	runtime.ObjectConvertor
	table *api.Table
}

// New returns an empty object of a kind, for the merge.
func (v versions) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if k := v.table.ByGVK(gvk); k != nil {
		return k.New(), nil
	}
	return api.Scheme.New(gvk)
}

// ConvertToVersion returns an object of a Go type. The merge drops the owners of fields in a
// version in which the kind is not served.
func (v versions) ConvertToVersion(in runtime.Object, to runtime.GroupVersioner) (runtime.Object, error) {
	gvk, err := kindOf(in)
	if err != nil {
		return nil, err
	}
	kind := v.table.ByGVK(gvk)
	if kind == nil {
		return v.ObjectConvertor.ConvertToVersion(in, to)
	}
	obj, err := typed(in, kind)
	if err != nil {
		return nil, err
	}
	target := v.versionOf(kind, to)
	if target == nil {
		return nil, runtime.NewNotRegisteredErrForTarget("wheelhouse", reflect.TypeOf(obj), to)
	}
	if target == kind {
		obj.GetObjectKind().SetGroupVersionKind(gvk)
		return obj, nil
	}
	ctx := context.Background()
	if obj, err = one(kind.ToStored(ctx, obj)); err == nil {
		obj, err = one(target.FromStored(ctx, obj))
	}
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(target.GroupVersionKind)
	return obj, nil
}

// kindOf returns an object's kind as it is set in it, or that of its Go type.
func kindOf(in runtime.Object) (schema.GroupVersionKind, error) {
	if gvk := in.GetObjectKind().GroupVersionKind(); !gvk.Empty() {
		return gvk, nil
	}
	list, _, err := api.Scheme.ObjectKinds(in)
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("the kind of %T: %w", in, err)
	}
	return list[0], nil
}

// versionOf is the same kind in another version, nil if it does not have that.
func (v versions) versionOf(k *api.Kind, to runtime.GroupVersioner) *api.Kind {
	gv, ok := to.(schema.GroupVersion)
	if !ok {
		return nil
	}
	if other := v.table.ByGVK(gv.WithKind(k.Kind)); other != nil && other.Storage() == k.Storage() {
		return other
	}
	return nil
}

func typed(in runtime.Object, k *api.Kind) (api.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok || k.Codec != nil {
		return in.(api.Object), nil
	}
	obj := k.New()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, obj); err != nil {
		return nil, fmt.Errorf("reading a %s: %w", k.Kind, err)
	}
	return obj, nil
}

// toStored returns what a client sent in the version in which it is stored. What the
// version of the request has as default where the kind has something else is filled in
// before.
func (r *decoder) toStored(obj api.Object) (api.Object, error) {
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

// raw returns an object's JSON with its kind, which a shared object may not have set.
func (r *resource) raw(obj api.Object) ([]byte, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", r.Kind.Kind, obj.GetName(), err)
	}
	return r.withKind(data), nil
}

// patchable is a shallow copy of an object without what a strategic merge patch need not
// convert, which is most of a pod: managedFields, which a patch can only replace, and the Spec
// if the patch is of the status.
func patchable(obj api.Object, status bool) api.Object {
	from := reflect.ValueOf(obj).Elem()
	to := reflect.New(from.Type())
	to.Elem().Set(from)
	if spec := to.Elem().FieldByName("Spec"); status && spec.IsValid() {
		spec.SetZero()
	}
	out := to.Interface().(api.Object)
	out.SetManagedFields(nil)
	return out
}

func call(f func(api.Object), obj api.Object) {
	if f != nil {
		f(obj)
	}
}

func call2(f func(obj, old api.Object), obj, old api.Object) {
	if f != nil {
		f(obj, old)
	}
}

func check(f func(api.Object) field.ErrorList, obj api.Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return f(obj)
}

func check2(f func(obj, old api.Object) field.ErrorList, obj, old api.Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return f(obj, old)
}

// withKind returns an object's JSON with its kind and version.
func (r *resource) withKind(data []byte) []byte {
	if bytes.HasPrefix(data, []byte(`{"kind"`)) || bytes.HasPrefix(data, []byte(`{"apiVersion"`)) {
		return data
	}
	return append(bytes.Clone(r.jsonPrefix), data[1:]...)
}
