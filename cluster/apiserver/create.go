package apiserver

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/store"
)

// nameTries is how often a generated name is replaced by another when it is taken.
const nameTries = 8

func (r *lifecycle) create() error {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	obj, err := r.decodeObject(o.validation)
	if err != nil {
		return err
	}
	return r.insert(obj, o)
}

// decodeObject reads the body as an object of the resource, in its stored shape.
func (r *lifecycle) decodeObject(validation string) (api.Object, error) {
	obj := r.res.New()
	if err := r.decode(obj, r.res.GroupVersionKind, validation); err != nil {
		return nil, err
	}
	r.audit.Object(obj)
	return r.toStored(obj)
}

// insert takes a new object through its lifecycle and answers with what was stored.
func (r *lifecycle) insert(obj api.Object, o writeOptions) error {
	item, err := r.createObject(r.Context(), obj, o)
	if err != nil {
		if !o.dryRun {
			r.recordRefusedCreate(obj, err)
		}
		return err
	}
	if item == nil { // a dry run
		return r.writeUnstored(http.StatusCreated, obj)
	}
	r.record(obj.GetUID(), item.Revision())
	return r.writeItem(http.StatusCreated, item)
}

// createObject defaults, admits, validates and stores a new object. In a dry run it
// leaves out the last, and returns nil; obj is what would have been stored.
func (r *lifecycle) createObject(ctx context.Context, obj api.Object, o writeOptions) (item *store.Item, err error) {
	if err := r.checkNamespace(obj); err != nil {
		return nil, err
	}
	if !anyVersion(obj) && !o.dryRun { // upstream's dry run does not look
		return nil, apistatus.BadRequest("resourceVersion should not be set on objects to be created")
	}
	asked := obj.GetResourceVersion()
	obj.SetResourceVersion("")
	generated := obj.GetName() == "" && obj.GetGenerateName() != ""
	if generated {
		obj.SetName(generateName(obj.GetGenerateName()))
	}
	k := r.res.Storage()
	call(k.Default, obj)
	if err := r.track(ctx, obj, nil, &o); err != nil {
		return nil, err
	}
	stamp(obj)
	call(k.PrepareCreate, obj)
	call(k.Default, obj)
	var a admitting
	if err := a.begin(ctx, r.exchange, admission.Create, obj, nil, o.options); err != nil {
		return nil, err
	}
	defer func() { a.end(ctx, err) }()
	validate, _ := r.res.Validators()
	errs := check(validate, obj)
	if len(errs) == 0 {
		errs = rules.ValidatePlainMeta(obj, k.Namespaced, rules.PathSegment)
	}
	if err := apistatus.Invalid(k.GroupKind(), obj.GetName(), errs); err != nil {
		return nil, err
	}
	if err := a.finish(ctx); err != nil {
		return nil, err
	}
	r.addWarnings(obj)
	if o.dryRun {
		obj.SetResourceVersion(asked) // as upstream
		return nil, r.wouldExist(ctx, obj)
	}
	return r.store(ctx, obj, generated)
}

// store writes a new object, under other names if its generated one is taken.
func (r *lifecycle) store(ctx context.Context, obj api.Object, generated bool) (*store.Item, error) {
	for try := 1; ; try++ {
		item, err := r.res.collection.Create(ctx, obj)
		if apierrors.IsRequestEntityTooLargeError(err) && obj.GetManagedFields() != nil {
			obj.SetManagedFields(nil) // as upstream: without them it may fit
			continue
		}
		if err == nil || !generated || !apierrors.IsAlreadyExists(err) {
			return item, err
		}
		if try == nameTries {
			return nil, apierrors.NewGenerateNameConflict(r.res.groupResource(), obj.GetName(), 1)
		}
		obj.SetName(generateName(obj.GetGenerateName()))
	}
}

// stamp sets what only the server may set on a new object.
func stamp(obj api.Object) {
	wipe(obj)
	obj.SetUID(types.UID(uuid.NewString()))
	obj.SetCreationTimestamp(metav1.Now().Rfc3339Copy())
}

// wipe removes what a client may not set.
func wipe(obj api.Object) {
	obj.SetUID("")
	obj.SetCreationTimestamp(metav1.Time{})
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetSelfLink("")
}

// generateName adds five letters, as upstream: of those that make no words.
func generateName(base string) string {
	const letters, longest = 5, 63
	return base[:min(len(base), longest-letters)] + rand.String(letters)
}

// checkNamespace sets an object's namespace to that of the path, or refuses one that
// names another.
func (r *lifecycle) checkNamespace(obj api.Object) error {
	switch ns := obj.GetNamespace(); {
	case !r.res.Namespaced:
		obj.SetNamespace("")
	case r.Namespace == "":
		return apistatus.BadRequest("an empty namespace may not be set during creation")
	case ns == "":
		obj.SetNamespace(r.Namespace)
	case ns != r.Namespace:
		return apistatus.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return nil
}

// wouldExist is what the store would say to a dry run.
func (r *lifecycle) wouldExist(ctx context.Context, obj api.Object) error {
	_, err := r.res.collection.Get(ctx, obj.GetNamespace(), obj.GetName(), "")
	switch {
	case err == nil:
		return apierrors.NewAlreadyExists(r.res.groupResource(), obj.GetName())
	case apierrors.IsNotFound(err):
		return nil
	}
	return err
}

var errEmptyName = errors.New("name must be provided")

// anyVersion reports whether an update may replace any version of the object.
func anyVersion(obj api.Object) bool {
	v := obj.GetResourceVersion()
	return v == "" || v == "0"
}
