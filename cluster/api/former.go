package api

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// former is a version that a stored kind once had. What both have under the same name
// goes from one to the other as it is; fill, up and down say what was different. F is
// the former type, T the stored one.
type former[F, T Object] struct {
	gv   schema.GroupVersion
	of   *Kind
	obj  F
	list runtime.Object
	// fill puts in what that version filled in where today's fills in something else.
	fill    func(F)
	up      func(from F, to T)
	down    func(from T, to F)
	connect []Subresource
	// scale is the group and version of the Scale that the version had, if it is not
	// autoscaling/v1.
	scale schema.GroupVersion
}

// kind is the alias. One of another group has no short names and no categories, so that
// kubectl knows which is meant and shows every object once.
func (f former[F, T]) kind() *Kind {
	k := &Kind{
		GroupVersionKind: f.gv.WithKind(f.of.Kind),
		Plural:           f.of.Plural, Singular: f.of.Singular, Namespaced: f.of.Namespaced, HasStatus: f.of.HasStatus,
		New:     func() Object { return newOf(f.obj).(Object) },
		NewList: func() runtime.Object { return newOf(f.list) },
		Connect: f.connect,
		Stored:  f.of,
		ToStored: func(o Object) Object {
			to := f.of.New()
			reshape(o, to, f.of.GroupVersionKind)
			if f.up != nil {
				f.up(o.(F), to.(T))
			}
			return to
		},
		FromStored: func(o Object) Object {
			to := newOf(f.obj).(F)
			reshape(o, to, f.gv.WithKind(f.of.Kind))
			if f.down != nil {
				f.down(o.(T), to)
			}
			return to
		},
	}
	if f.gv.Group == f.of.Group {
		k.Short, k.Categories = f.of.Short, f.of.Categories
	}
	if f.fill != nil {
		k.Default = func(o Object) { f.fill(o.(F)) }
	}
	if f.of.Scale != nil {
		k.Scale = &Scale{Get: f.of.Scale.Get, Set: f.of.Scale.Set, Former: f.scale}
	}
	return k
}

// newOf makes another object of the type of o.
func newOf[O runtime.Object](o O) runtime.Object {
	return reflect.New(reflect.TypeOf(o).Elem()).Interface().(runtime.Object)
}

// reshape copies what two types have in common, by the names in JSON. What cannot be
// written as JSON at all (a number of pods that is neither number nor text, out of a
// broken protobuf message) is left out, and validation says that it is missing.
func reshape(from, to Object, gvk schema.GroupVersionKind) {
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

// annotate sets an annotation, or takes it away when there is no value. The map is made
// anew: it may be shared.
func annotate(m *metav1.ObjectMeta, name, value string) {
	out := make(map[string]string, len(m.Annotations)+1)
	for k, v := range m.Annotations {
		if k != name {
			out[k] = v
		}
	}
	if value != "" {
		out[name] = value
	}
	if len(out) == 0 {
		out = nil
	}
	m.Annotations = out
}
