package fieldmanager

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/budget"
)

// Create sets the managedFields of a new object, which has its defaults.
func (m *Manager) Create(obj api.Object, manager string) {
	if m.shape == nil || obj.GetManagedFields() != nil {
		m.byLibrary(m.New(), obj, manager)
		return
	}
	if m.excluded != nil {
		m.byLibrary(m.New(), obj, manager)
		return
	}
	raw, err := m.shape.encodeNew(m.empty, reflect.ValueOf(obj), m.skipped)
	if err != nil || raw == nil {
		obj.SetManagedFields(nil)
		return
	}
	entry := m.entry(manager)
	entry.Time, entry.FieldsV1 = now(), &metav1.FieldsV1{Raw: raw}
	obj.SetManagedFields([]metav1.ManagedFieldsEntry{entry})
}

// entry returns that of a manager who writes other than by server-side apply.
func (m *Manager) entry(manager string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: cmp.Or(manager, unknown), Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: m.version, Subresource: m.Subresource,
		FieldsType: fieldsType,
	}
}

// Update sets the managedFields of obj, which replaces live. Both have their defaults. A
// client may send them back as they are, leave them out, or reset them with [] or [{}].
func (m *Manager) Update(live, obj api.Object, manager string) {
	entries := live.GetManagedFields()
	if m.Subresource == "" {
		sent := obj.GetManagedFields()
		if isReset(sent) {
			obj.SetManagedFields(nil) // nothing is tracked from now on
			return
		}
		if len(sent) > 0 && !equalEntries(sent, entries) {
			m.byLibrary(live, obj, manager)
			return
		}
	}
	if len(entries) == 0 {
		obj.SetManagedFields(nil)
		return
	}
	if m.shape == nil || m.inOtherVersion(entries) {
		m.byLibrary(live, obj, manager)
		return
	}
	entries, err := m.update(live, obj, entries, manager)
	if err != nil {
		entries = nil
	}
	obj.SetManagedFields(entries)
}

// byLibrary is for what is rare. It bounds the work, which the library does not.
func (m *Manager) byLibrary(live, obj api.Object, manager string) {
	library, err := m.library()
	if err != nil || tooManyFields(live) || tooManyFields(obj) {
		obj.SetManagedFields(nil)
		return
	}
	live = live.DeepCopyObject().(api.Object)
	live.GetObjectKind().SetGroupVersionKind(m.Kind)
	obj.GetObjectKind().SetGroupVersionKind(m.Kind)
	library.UpdateNoErrors(live, obj, manager)
}

func tooManyFields(obj api.Object) bool {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	return err != nil || budget.Fields(content) != nil
}

func (m *Manager) inOtherVersion(entries []metav1.ManagedFieldsEntry) bool {
	for i := range entries {
		if entries[i].APIVersion != m.version {
			return true
		}
	}
	return false
}

// isReset reports whether a client asks to forget who owns what.
func isReset(sent []metav1.ManagedFieldsEntry) bool {
	return sent != nil && (len(sent) == 0 || len(sent) == 1 && reflect.ValueOf(sent[0]).IsZero())
}

func equalEntries(a, b []metav1.ManagedFieldsEntry) bool {
	return len(a) == len(b) && EqualButTime(a, b) && equalTimes(a, b)
}

// EqualButTime reports whether entries differ in nothing but their times.
func EqualButTime(a, b []metav1.ManagedFieldsEntry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := &a[i], &b[i]
		if x.Manager != y.Manager || x.Operation != y.Operation || x.APIVersion != y.APIVersion || x.Subresource != y.Subresource || x.FieldsType != y.FieldsType {
			return false
		}
		if (x.FieldsV1 == nil) != (y.FieldsV1 == nil) || x.FieldsV1 != nil && !bytes.Equal(x.FieldsV1.Raw, y.FieldsV1.Raw) {
			return false
		}
	}
	return true
}

func equalTimes(a, b []metav1.ManagedFieldsEntry) bool {
	for i := range a {
		if seconds(a[i].Time) != seconds(b[i].Time) {
			return false
		}
	}
	return true
}

// KeepTimes gives obj, which is written in the place of old, the entries of old if nothing but
// their times differs, so that such a write changes nothing.
func KeepTimes(obj, old api.Object) {
	entries, before := obj.GetManagedFields(), old.GetManagedFields()
	if len(entries) == 0 || !EqualButTime(entries, before) || equalTimes(entries, before) {
		return
	}
	if equalObjects(obj, old) {
		obj.SetManagedFields(before)
	}
}

// equalObjects compares all but managedFields. It begins at the end, as the status changes most.
func equalObjects(a, b api.Object) bool {
	if x, ok := a.(*unstructured.Unstructured); ok {
		y := b.DeepCopyObject().(api.Object)
		y.SetManagedFields(x.GetManagedFields())
		return reflect.DeepEqual(a, y)
	}
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, f := range slices.Backward(value.TypeReflectEntryOf(x.Type()).OrderedFields()) {
		v, w := f.GetFrom(x), f.GetFrom(y)
		switch meta, ok := v.Interface().(metav1.ObjectMeta); {
		case f.JsonName == "kind" || f.JsonName == "apiVersion":
		case ok:
			other := w.Interface().(metav1.ObjectMeta)
			other.ManagedFields = meta.ManagedFields
			if !equality.Semantic.DeepEqual(meta, other) {
				return false
			}
		case f.CanOmit(v) != f.CanOmit(w) || !f.CanOmit(v) && !equal(f.TypeEntry, of(v), of(w)):
			return false
		}
	}
	return true
}

// update returns the entries of obj, which follows live. Those of other managers lose what is
// changed or removed, the manager's own gets what is changed.
func (m *Manager) update(live, obj api.Object, entries []metav1.ManagedFieldsEntry, manager string) ([]metav1.ManagedFieldsEntry, error) {
	c := newComparison()
	c.objects(m.shape, reflect.ValueOf(live), reflect.ValueOf(obj), m.skipped)
	if c.err != nil {
		return nil, c.err
	}
	if m.excluded != nil {
		c.added, c.modified, c.removed = c.added.RecursiveDifference(m.excluded), c.modified.RecursiveDifference(m.excluded), c.removed.RecursiveDifference(m.excluded)
	}
	if c.empty() {
		return entries, nil
	}
	taken := union(c.added, c.modified)
	gone := union(taken, c.removed)
	names := topLevel(gone)
	self := m.entry(manager)
	owners := make([]*owner, 0, len(entries)+1)
	var mine *owner
	for i := range entries {
		o := &owner{ManagedFieldsEntry: entries[i]}
		if o.same(&self) && mine == nil {
			mine = o
			owners = append(owners, o)
			continue
		}
		left, err := o.lose(gone, names)
		if err != nil {
			return nil, err
		}
		if left {
			owners = append(owners, o)
		}
	}
	if mine == nil {
		mine = &owner{ManagedFieldsEntry: self, set: &fieldpath.Set{}}
		owners = append(owners, mine)
	}
	if err := mine.take(taken, c.removed); err != nil {
		return nil, err
	}
	return m.encode(owners, mine)
}

// topLevel returns the fields of the object in which a set has members, as they begin in the
// encoding of sets.
func topLevel(s *fieldpath.Set) [][]byte {
	var names [][]byte
	add := func(p fieldpath.PathElement) {
		if p.FieldName != nil {
			names = append(names, []byte(`"f:`+*p.FieldName+`":`))
		}
	}
	s.Members.Iterate(add)
	s.Children.Iterate(add)
	return names
}

// union returns the union of two sets, which share their parts with it.
func union(a, b *fieldpath.Set) *fieldpath.Set {
	switch {
	case a.Empty():
		return b
	case b.Empty():
		return a
	}
	return a.Union(b)
}

// lose takes fields from an owner and reports whether it is left with any. An owner that has
// none of the names owns none of the fields, and is not decoded.
func (o *owner) lose(gone *fieldpath.Set, names [][]byte) (left bool, err error) {
	if o.FieldsV1 != nil {
		concerned := false
		for _, name := range names {
			concerned = concerned || bytes.Contains(o.FieldsV1.Raw, name)
		}
		if !concerned {
			return true, nil
		}
	}
	s, err := o.fields()
	if err != nil {
		return false, err
	}
	rest := s.Difference(gone)
	if rest.Size() != s.Size() {
		o.replace(rest)
	}
	return !rest.Empty(), nil
}

// take gives an owner what its own write has changed, and takes from it what that removed.
func (o *owner) take(taken, removed *fieldpath.Set) error {
	s, err := o.fields()
	if err != nil {
		return err
	}
	next := s.Difference(removed).Union(taken)
	if !next.Equals(s) || o.FieldsV1 == nil {
		o.replace(next)
	}
	if !taken.Empty() {
		o.Time = now()
	}
	return nil
}

// encode returns the entries of owners, without mine if it owns nothing.
func (m *Manager) encode(owners []*owner, mine *owner) ([]metav1.ManagedFieldsEntry, error) {
	if mine.set.Empty() {
		owners = slices.DeleteFunc(owners, func(o *owner) bool { return o == mine })
	}
	owners, err := capped(owners)
	if err != nil || len(owners) == 0 {
		return nil, err
	}
	entries := make([]metav1.ManagedFieldsEntry, len(owners))
	for i, o := range owners {
		if err := o.encode(); err != nil {
			return nil, err
		}
		entries[i] = o.ManagedFieldsEntry
	}
	slices.SortFunc(entries, func(a, b metav1.ManagedFieldsEntry) int { return inOrder(&a, &b) })
	return entries, nil
}
