package api

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Retired is a version that a stored kind once had. What both have under the same name
// goes from one to the other as it is; Default, ToStored and FromStored say what was
// different. F is the Go type of the version, T the stored one.
type Retired[F, T Object] struct {
	// Default fills in what that version had as default where today's has something else.
	Default    func(F)
	ToStored   func(from F, to T)
	FromStored func(from T, to F)
	Connect    []Subresource
	// Deprecated is the warning of a version whose Go type does not have the release in which it ended.
	Deprecated string
}

// Version returns what the table of kinds takes. Group, version and list are those that
// Scheme has for F.
func (r Retired[F, T]) Version() Version {
	v := Version{
		Connect: r.Connect, Deprecated: r.Deprecated,
		New: func() Object { return newOf[F]() },
		Converter: Conversion(
			func(o F) T { return reshaped(o, r.ToStored) },
			func(o T) F { return reshaped(o, r.FromStored) },
		),
	}
	if gvks, _, err := Scheme.ObjectKinds(newOf[F]()); err == nil {
		gvk := gvks[0]
		v.GroupVersion = gvk.GroupVersion()
		v.NewList = func() runtime.Object {
			list, _ := Scheme.New(v.WithKind(gvk.Kind + "List")) // a test reads every list
			return list
		}
		if Scheme.Recognizes(v.WithKind("Scale")) {
			v.Scale = v.GroupVersion
		}
	}
	if r.Default != nil {
		v.Default = func(o Object) { r.Default(o.(F)) }
	}
	return v
}

// newOf returns a new object of a pointer type.
func newOf[O Object]() O { return reflect.New(reflect.TypeFor[O]().Elem()).Interface().(O) }

// reshaped copies what both types have in common, and then what differs.
func reshaped[From, To Object](from From, differs func(From, To)) To {
	to := newOf[To]()
	CopyShape(from, to)
	if differs != nil {
		differs(from, to)
	}
	return to
}

// CopyShape copies what two types have in common, by the names in JSON. What cannot be
// written as JSON at all (a number of pods that is neither number nor text, out of a
// broken protobuf message) is left out, and validation says that it is missing.
func CopyShape(from, to Object) {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(from)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(doc, to)
	}
	if err != nil {
		reflect.ValueOf(to).Elem().SetZero()
		if from, ok := from.(metav1.ObjectMetaAccessor); ok {
			from.GetObjectMeta().(*metav1.ObjectMeta).DeepCopyInto(to.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta))
		}
	}
	to.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // it is that of from
}
