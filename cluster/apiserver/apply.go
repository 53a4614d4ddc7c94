package apiserver

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/budget"
	"wheelhouse/cluster/apiserver/openapi"
	"wheelhouse/cluster/store"
)

// applying is a write by server-side apply.
type applying struct{ *lifecycle }

// apply is server-side apply: the body is the configuration of a manager; the object
// is created if it does not exist.
func (r applying) apply(c change, body []byte) error {
	wanted, err := r.decodeApplied(body)
	if err != nil {
		return err
	}
	manager, err := r.fieldManager(r.res)
	if err != nil {
		return err
	}
	merge := func(live api.Object) (api.Object, error) {
		live.GetObjectKind().SetGroupVersionKind(r.res.GroupVersionKind)
		merged, err := manager.Apply(live, wanted.DeepCopy(), c.manager, c.force)
		if err != nil {
			return nil, applyError(err)
		}
		return r.toStored(merged.(api.Object))
	}
	c.applied = true
	c.next = func(cur *store.Item) (api.Object, error) {
		if err := r.checkFields(cur.Object(), cur); err != nil {
			return nil, err
		}
		live, err := r.res.fromStored(r.Context(), cur.Object())
		if err != nil {
			return nil, err
		}
		return merge(live.DeepCopyObject().(api.Object))
	}
	for {
		item, obj, err := r.write(r.Context(), c)
		if err == nil {
			return r.writeResult(item, obj)
		}
		if !apierrors.IsNotFound(err) || r.Subresource != "" || !r.isMissing() {
			return err
		}
		err = r.applyNew(merge, wanted, c)
		if !apierrors.IsAlreadyExists(err) || c.dryRun {
			return err
		}
	}
}

// isMissing reports whether it is the object that is not there, and not, say, its namespace.
func (r applying) isMissing() bool {
	_, err := r.res.collection.Get(r.Context(), r.Namespace, r.Name, "")
	return apierrors.IsNotFound(err)
}

// applyNew creates the object that is applied, if the user may create.
func (r applying) applyNew(merge func(api.Object) (api.Object, error), wanted *unstructured.Unstructured, c change) error {
	if err := r.s.authorize(r.exchange, "create"); err != nil {
		return err
	}
	if uid := wanted.GetUID(); uid != "" {
		return apierrors.NewConflict(r.res.groupResource(), r.Name,
			fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	empty := r.res.New()
	empty.SetName(r.Name)
	empty.SetNamespace(r.Namespace)
	obj, err := merge(empty)
	if err != nil {
		return err
	}
	return r.insert(obj, c.writeOptions)
}

func (r applying) decodeApplied(body []byte) (*unstructured.Unstructured, error) {
	wanted := &unstructured.Unstructured{}
	text := body
	if !isJSON(body) {
		var err error
		if text, err = yaml.YAMLToJSONStrict(body); err != nil {
			return nil, apistatus.BadRequest("error decoding YAML: error converting YAML to JSON: %v", err)
		}
	}
	text = r.respell(text)
	if err := api.CheckQuantities(text, true, r.res.New()); err != nil {
		return nil, apistatus.BadRequest("error decoding YAML: %v", err)
	}
	duplicates, err := kjson.UnmarshalStrict(text, &wanted.Object)
	if err != nil {
		return nil, apistatus.BadRequest("error decoding YAML: error unmarshaling JSON: while decoding JSON: %v", err)
	}
	if len(duplicates) > 0 {
		return nil, apistatus.BadRequest("error decoding YAML: %v", errors.Join(duplicates...))
	}
	if err := budget.Fields(wanted.Object); err != nil {
		return nil, apistatus.TooExpensive(err)
	}
	if wanted.Object == nil {
		return nil, apistatus.BadRequest("error decoding YAML: the body is empty")
	}
	if got := wanted.GroupVersionKind(); got != r.res.GroupVersionKind {
		return nil, apistatus.BadRequest("invalid object kind %q: the applied object must be a %s", got.String(), r.res.GroupVersionKind.String())
	}
	if len(wanted.GetManagedFields()) > 0 {
		return nil, apistatus.BadRequest("metadata.managedFields must be nil")
	}
	if wanted.GetName() == "" {
		wanted.SetName(r.Name)
	}
	if name := wanted.GetName(); name != r.Name {
		return nil, apistatus.BadRequest("the name of the object (%s) does not match the name on the URL (%s)", name, r.Name)
	}
	if ns := wanted.GetNamespace(); ns != "" && ns != r.Namespace {
		return nil, apistatus.BadRequest("the namespace of the object (%s) does not match the namespace on the request (%s)", ns, r.Namespace)
	}
	return wanted, nil
}

// applyError returns err as a Status: BadRequest for a configuration that does not fit the kind.
func applyError(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apistatus.BadRequest("%v", err)
}

// track keeps managedFields up to date on objects that have been applied once; see the
// package comment.
func (r *lifecycle) track(obj api.Object, cur *store.Item, c change) (api.Object, error) {
	old := cur.Object()
	if c.applied || len(old.GetManagedFields()) == 0 {
		return obj, nil
	}
	// The objects are in their stored shape, and so are the fields that they name.
	k := r.res.Storage()
	manager, err := r.fieldManager(r.routes.resource(k.Group, k.Version, k.Plural))
	if err != nil {
		return obj, nil //nolint:nilerr // a kind without a schema has no managed fields
	}
	if err := r.checkFields(obj, cur); err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	live := old.DeepCopyObject().(api.Object)
	live.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	return manager.UpdateNoErrors(live, obj, c.manager).(api.Object), nil
}

// checkFields refuses an object, which follows cur or is it, that has too many fields for
// their owners to be kept.
func (r *lifecycle) checkFields(obj api.Object, cur *store.Item) error {
	if cur.Size()+r.bodySize <= budget.MaxFields {
		return nil // a field takes more than a byte
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return fmt.Errorf("counting the fields of an object: %w", err)
	}
	unstructured.RemoveNestedField(fields, "metadata", "managedFields")
	if err := budget.Fields(fields); err != nil {
		return apistatus.TooExpensive(err)
	}
	return nil
}

// fieldManager returns that of a resource, or of its status if the request is for that.
func (r *lifecycle) fieldManager(res *resource) (*managedfields.FieldManager, error) {
	index, subresource := 0, ""
	if r.Subresource == "status" {
		index, subresource = 1, "status"
	}
	m := &res.managers[index]
	m.once.Do(func() {
		var types managedfields.TypeConverter
		if types, m.err = r.s.typesOf(res.Kind); m.err != nil {
			return
		}
		v := versions{api.Scheme, r.routes.table}
		m.FieldManager, m.err = managedfields.NewDefaultFieldManager(types, v, defaulter{res}, v,
			res.GroupVersionKind, res.GroupVersion(), subresource, notOwned(res, subresource))
	})
	return m.FieldManager, m.err
}

// typesOf returns how the objects of a kind are merged: by their Go types, by the schema, or
// by what they are.
func (s *Server) typesOf(k *api.Kind) (managedfields.TypeConverter, error) {
	switch {
	case k.Schema == nil && k.Codec == nil:
		return s.types(), nil
	case k.Schema == nil:
		return managedfields.NewDeducedTypeConverter(), nil
	}
	schemas, err := openapi.Schemas(k)
	if err != nil {
		return nil, err
	}
	return managedfields.NewTypeConverter(schemas, true)
}

// notOwned returns the fields which a write to the subresource does not change, and so cannot own.
func notOwned(r *resource, subresource string) map[fieldpath.APIVersion]fieldpath.Filter {
	if !r.HasStatus {
		return nil
	}
	other := "status"
	if subresource == "status" {
		other = "spec"
	}
	set := fieldpath.NewSet(fieldpath.MakePathOrDie(other))
	return map[fieldpath.APIVersion]fieldpath.Filter{
		fieldpath.APIVersion(r.groupVersion): fieldpath.NewExcludeSetFilter(set),
	}
}

// defaulter sets the kind's defaults for the merge.
type defaulter struct{ r *resource }

func (d defaulter) Default(in runtime.Object) {
	if obj, ok := in.(api.Object); ok && d.r.Stored == nil {
		call(d.r.Default, obj)
	}
}
