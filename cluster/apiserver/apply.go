package apiserver

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/budget"
	"wheelhouse/cluster/store"
)

// applying is a write by server-side apply.
type applying struct{ *lifecycle }

// apply is server-side apply: the body is the configuration of a manager; the object
// is created if it does not exist.
func (r applying) apply(c change, body []byte) error {
	wanted, err := r.decodeApplied(body, r.res.GroupVersionKind, r.res.New())
	if err != nil {
		return err
	}
	manager := r.fieldManager()
	merge := func(live api.Object) (api.Object, error) {
		merged, err := manager.Apply(live, wanted, c.manager, c.force)
		if err != nil {
			return nil, applyError(err)
		}
		return r.toStored(merged)
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

// decodeApplied reads a configuration of a kind, of which example is an object.
func (r *lifecycle) decodeApplied(body []byte, kind schema.GroupVersionKind, example api.Object) (*unstructured.Unstructured, error) {
	wanted := &unstructured.Unstructured{}
	text := body
	if !isJSON(body) {
		var err error
		if text, err = yaml.YAMLToJSONStrict(body); err != nil {
			return nil, apistatus.BadRequest("error decoding YAML: error converting YAML to JSON: %v", err)
		}
	}
	text = r.respell(text)
	if err := api.CheckQuantities(text, true, example); err != nil {
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
	if got := wanted.GroupVersionKind(); got != kind {
		return nil, apistatus.BadRequest("invalid object type: %v", got)
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
