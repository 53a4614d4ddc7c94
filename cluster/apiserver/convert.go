package apiserver

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
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

// ConvertToVersion gives an object of a Go type. It leaves the version as it is when the
// kind does not have the one that is asked for: the merge asks for one in between first.
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
	if target == nil || target == kind {
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

// kindOf is what an object says it is, or what its Go type is.
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
