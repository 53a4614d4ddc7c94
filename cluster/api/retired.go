package api

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Retired is a version that a stored kind once had. What both have under the same name
// goes from one to the other as it is; fill, up and down say what was different. F is
// the former type, T the stored one.
type Retired[F, T Object] struct {
	GroupVersion schema.GroupVersion
	Of           *Kind
	Object       F
	List         runtime.Object
	// fill puts in what that version filled in where today's fills in something else.
	Default    func(F)
	ToStored   func(from F, to T)
	FromStored func(from T, to F)
	Connect    []Subresource
	// scale is the group and version of the Scale that the version had, if it is not
	// autoscaling/v1.
	Scale schema.GroupVersion
}

// Kind is the alias. One of another group has no short names and no categories, so that
// kubectl knows which is meant and shows every object once.
func (f Retired[F, T]) Kind() *Kind {
	k := &Kind{
		GroupVersionKind: f.GroupVersion.WithKind(f.Of.Kind),
		Plural:           f.Of.Plural, Singular: f.Of.Singular, Namespaced: f.Of.Namespaced, HasStatus: f.Of.HasStatus,
		New:     func() Object { return newOf(f.Object).(Object) },
		NewList: func() runtime.Object { return newOf(f.List) },
		Connect: f.Connect,
		Stored:  f.Of,
		ToStored: func(o Object) Object {
			to := f.Of.New()
			CopyShape(o, to, f.Of.GroupVersionKind)
			if f.ToStored != nil {
				f.ToStored(o.(F), to.(T))
			}
			return to
		},
		FromStored: func(o Object) Object {
			to := newOf(f.Object).(F)
			CopyShape(o, to, f.GroupVersion.WithKind(f.Of.Kind))
			if f.FromStored != nil {
				f.FromStored(o.(T), to)
			}
			return to
		},
	}
	if f.GroupVersion.Group == f.Of.Group {
		k.Short, k.Categories = f.Of.Short, f.Of.Categories
	}
	if f.Default != nil {
		k.Default = func(o Object) { f.Default(o.(F)) }
	}
	if f.Of.Scale != nil {
		k.Scale = &Scale{Get: f.Of.Scale.Get, Set: f.Of.Scale.Set, Retired: f.Scale}
	}
	return k
}

// newOf makes another object of the type of o.
func newOf[O runtime.Object](o O) runtime.Object {
	return reflect.New(reflect.TypeOf(o).Elem()).Interface().(runtime.Object)
}

// CopyShape copies what two types have in common, by the names in JSON. What cannot be
// written as JSON at all (a number of pods that is neither number nor text, out of a
// broken protobuf message) is left out, and validation says that it is missing.
func CopyShape(from, to Object, gvk schema.GroupVersionKind) {
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
	to.GetObjectKind().SetGroupVersionKind(gvk)
}
