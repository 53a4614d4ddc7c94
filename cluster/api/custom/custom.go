// Package custom makes kinds of objects that have no Go type: JSON with a schema.
//
// It owns how such objects are decoded, encoded and kept apart from their status. It does
// not validate values by the schema: what it has not described is dropped, and named to
// clients that ask for strict decoding. A kind is served once it is in a table.
package custom

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"
	kjson "sigs.k8s.io/json"

	"wheelhouse/cluster/api"
)

// Kind fills in what all kinds of unstructured objects have in common. Names, scope,
// schema, columns and what else differs are those of k, which it changes.
func Kind(k *api.Kind) *api.Kind {
	k.Custom = true
	k.Media = []api.MediaType{api.JSON, api.YAML}
	k.New, k.NewList, k.Codec = Shape(k.GroupVersionKind, k.Schema)
	k.PrepareCreate = func(obj api.Object) {
		if k.HasStatus {
			delete(content(obj), "status")
		}
		obj.SetGeneration(1)
	}
	k.PrepareUpdate = func(obj, old api.Object) {
		if k.HasStatus {
			replace(content(obj), content(old), "status")
		}
		if !reflect.DeepEqual(withoutMeta(obj, k.HasStatus), withoutMeta(old, k.HasStatus)) {
			obj.SetGeneration(old.GetGeneration() + 1)
		}
	}
	k.Validate = func(obj api.Object) field.ErrorList {
		return apivalidation.ValidateObjectMetaAccessor(obj, k.Namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	}
	k.ValidateUpdate = func(obj, old api.Object) field.ErrorList {
		return apivalidation.ValidateObjectMetaAccessorUpdate(obj, old, field.NewPath("metadata"))
	}
	if k.HasStatus {
		k.PrepareStatus = func(obj, old api.Object) {
			now := content(obj)
			managed := obj.GetManagedFields()
			for key := range now {
				if key != "status" {
					delete(now, key)
				}
			}
			for key := range content(old) {
				if key != "status" {
					replace(now, content(old), key)
				}
			}
			obj.SetManagedFields(managed)
		}
		k.ValidateStatus = k.ValidateUpdate
	}
	return k
}

// Shape returns what makes and encodes the objects of one version of a kind.
func Shape(gvk schema.GroupVersionKind, s *spec.Schema) (func() api.Object, func() runtime.Object, api.Codec) {
	newObject := func() api.Object {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetGroupVersionKind(gvk)
		return u
	}
	newList := func() runtime.Object {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		return l
	}
	return newObject, newList, codec{gvk, s}
}

func content(obj api.Object) map[string]any { return obj.(*unstructured.Unstructured).Object }

// replace sets a field to a copy of what it is in another object, or removes it.
func replace(to, from map[string]any, key string) {
	delete(to, key)
	if v, ok := from[key]; ok {
		to[key] = runtime.DeepCopyJSONValue(v)
	}
}

func withoutMeta(obj api.Object, status bool) map[string]any {
	out := map[string]any{}
	for key, v := range content(obj) {
		if key != "metadata" && (key != "status" || !status) {
			out[key] = v
		}
	}
	return out
}

type codec struct {
	gvk    schema.GroupVersionKind
	schema *spec.Schema
}

func (codec) Encode(obj api.Object) ([]byte, error) { return json.Marshal(content(obj)) }

func (c codec) Decode(data []byte, into api.Object) (unknown []error, err error) {
	u := into.(*unstructured.Unstructured)
	u.Object = nil
	if unknown, err = kjson.UnmarshalStrict(data, &u.Object); err != nil {
		return nil, err
	}
	if u.Object == nil {
		return nil, errors.New("it is not an object")
	}
	if u.GetAPIVersion() == "" && u.GetKind() == "" {
		u.SetGroupVersionKind(c.gvk)
	}
	if got := u.GroupVersionKind(); got != c.gvk {
		return unknown, nil // the caller says what belongs there
	}
	meta, ok := u.Object["metadata"]
	if !ok {
		meta = map[string]any{}
	}
	wrong, err := checkMeta(u, meta)
	unknown = append(unknown, wrong...)
	if c.schema != nil && err == nil {
		for key, v := range u.Object {
			if key != "apiVersion" && key != "kind" && key != "metadata" {
				unknown = append(unknown, prune(u.Object, key, v, c.schema, key)...)
			}
		}
	}
	return unknown, err
}

// checkMeta refuses metadata that is not that of an object, and drops what it does not have.
func checkMeta(u *unstructured.Unstructured, meta any) (unknown []error, err error) {
	var typed struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(map[string]any{"metadata": meta}, &typed, true)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&typed)
		if err == nil {
			u.Object["metadata"] = out["metadata"]
		}
		return strict.Errors(), err
	}
	return nil, err
}

// prune drops a field that the schema does not have, and what it does not have below.
func prune(in map[string]any, key string, v any, s *spec.Schema, path string) []error {
	if preserves(s) {
		return nil
	}
	if p, ok := s.Properties[key]; ok {
		return pruneValue(v, &p, path)
	}
	if a := s.AdditionalProperties; a != nil && a.Schema != nil {
		return pruneValue(v, a.Schema, path)
	} else if a != nil && a.Allows {
		return nil
	}
	delete(in, key)
	return []error{fmt.Errorf("unknown field %q", path)}
}

func pruneValue(v any, s *spec.Schema, path string) (unknown []error) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			unknown = append(unknown, prune(v, key, inner, s, path+"."+key)...)
		}
	case []any:
		if s.Items == nil || s.Items.Schema == nil {
			return nil
		}
		for i, inner := range v {
			unknown = append(unknown, pruneValue(inner, s.Items.Schema, fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return unknown
}

func preserves(s *spec.Schema) bool {
	keep, _ := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields")
	return keep
}
