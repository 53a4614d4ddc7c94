package apiserver

import (
	"context"
	"errors"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/fieldmanager"
	"wheelhouse/cluster/store"
)

func (r *lifecycle) update() error { return r.updateSubresource(change{}) }

// updateSubresource replaces the resource, or the fields that the change's subresource may write.
func (r *lifecycle) updateSubresource(c change) error {
	o, err := updateOptions(r.Request)
	if err != nil {
		return err
	}
	obj, err := r.decodeObject(o.validation)
	if err != nil {
		return err
	}
	if err := r.checkName(obj); err != nil {
		return err
	}
	again, found := anyVersion(obj), false
	c.writeOptions = o
	c.next = func(*store.Item) (api.Object, error) {
		found = true
		if again { // it may be tried again, on another version
			return obj.DeepCopyObject().(api.Object), nil
		}
		return obj, nil
	}
	c.whole = true
	if r.Subresource != "" || !createsOnUpdate[r.res.Storage().GroupKind()] {
		return r.change(c)
	}
	for {
		err := r.change(c)
		if found || !apierrors.IsNotFound(err) {
			return err
		}
		if err := r.createByUpdate(obj.DeepCopyObject().(api.Object), o); !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
}

// conditionalOnly are the kinds whose updates must say which version they replace.
var conditionalOnly = map[schema.GroupKind]bool{
	{Group: "coordination.k8s.io", Kind: "Lease"}:  true,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:   true,
	{Group: "policy", Kind: "PodDisruptionBudget"}: true,
}

// checkConditional refuses an update that names no version, of a kind that needs one.
func (r *lifecycle) checkConditional(obj api.Object) error {
	k := r.res.Storage().GroupKind()
	if !anyVersion(obj) || !conditionalOnly[k] {
		return nil
	}
	// Upstream names the resource in the place of the kind.
	return apistatus.Invalid(schema.GroupKind{Group: k.Group, Kind: r.Plural}, r.Name, field.ErrorList{field.Invalid(
		field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
}

// createsOnUpdate are the kinds of which a PUT creates what does not exist, as upstream's AllowCreateOnUpdate.
var createsOnUpdate = map[schema.GroupKind]bool{
	{Kind: "Endpoints"}: true, {Kind: "Event"}: true, {Kind: "LimitRange"}: true, {Kind: "Service"}: true,
	{Group: "coordination.k8s.io", Kind: "Lease"}: true,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:  true,
	{Group: rbacv1.GroupName, Kind: "Role"}:       true, {Group: rbacv1.GroupName, Kind: "ClusterRole"}: true,
	{Group: rbacv1.GroupName, Kind: "RoleBinding"}: true, {Group: rbacv1.GroupName, Kind: "ClusterRoleBinding"}: true,
}

// createByUpdate creates the object of a PUT that does not exist. The user must be allowed to create it.
func (r *lifecycle) createByUpdate(obj api.Object, o writeOptions) error {
	if uid := obj.GetUID(); uid != "" {
		return apistatus.PreconditionFailed(r.res.groupResource(), r.Name, "UID", string(uid), "")
	}
	if err := r.s.authorize(r.exchange, "create"); err != nil {
		return err
	}
	update := o.options.(*metav1.UpdateOptions)
	o.options = &metav1.CreateOptions{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"},
		DryRun:   update.DryRun, FieldManager: update.FieldManager, FieldValidation: update.FieldValidation,
	}
	obj.SetResourceVersion("")
	return r.insert(obj, o)
}

// checkName compares the object's name and namespace with the path's.
func (r *lifecycle) checkName(obj api.Object) error {
	switch name := obj.GetName(); {
	case name == "":
		return apistatus.BadRequest("the name of the object (%s based on URL) was undeterminable: %v", r.Name, errEmptyName)
	case name != r.Name:
		return apistatus.BadRequest("the name of the object (%s) does not match the name on the URL (%s)", name, r.Name)
	}
	if !r.res.Namespaced {
		obj.SetNamespace("")
		return nil
	}
	if ns := obj.GetNamespace(); ns != "" && ns != r.Namespace {
		return apistatus.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	obj.SetNamespace(r.Namespace)
	return nil
}

// change is one write to an object that exists.
type change struct {
	writeOptions
	// next is the object that the client wants, given the present one, in its stored
	// shape. Its resourceVersion is that of the version to replace.
	next func(cur *store.Item) (api.Object, error)
	// prepare and validate replace the kind's, for subresources; nil leaves them.
	prepare  func(obj, old api.Object)
	validate func(obj, old api.Object) field.ErrorList
	// whole: it is a PUT, of which the uid is a precondition.
	whole    bool
	admitted *admitting
}

// errEmptied ends an update which takes the last finalizer from an object that is
// being deleted: instead of being written, the object goes.
var errEmptied = errors.New("the last finalizer is gone")

// change takes an update through its lifecycle, as often as other writes come between,
// and answers with the result.
func (r *lifecycle) change(c change) error {
	item, obj, err := r.write(r.Context(), c)
	if err != nil {
		return err
	}
	return r.writeResult(item, obj)
}

func (r *responder) writeResult(item *store.Item, obj api.Object) error {
	if item == nil {
		return r.writeUnstored(http.StatusOK, obj)
	}
	return r.writeItem(http.StatusOK, item)
}

// write does the update. The item is nil if nothing was stored (a dry run, or an object
// that went with its last finalizer); then obj is the last state.
func (r *lifecycle) write(ctx context.Context, c change) (*store.Item, api.Object, error) {
	c.admitted = &admitting{}
	item, last, err := r.tryWrite(ctx, c)
	c.admitted.end(ctx, err)
	if err == nil && item != nil {
		r.record(last.GetUID(), item.Revision())
	}
	return item, last, err
}

func (r *lifecycle) tryWrite(ctx context.Context, c change) (*store.Item, api.Object, error) {
	var last api.Object
	var present *store.Item
	step := func(cur *store.Item) (api.Object, error) {
		c.admitted.end(ctx, errChanged) // of the try before, if there was one
		obj, err := r.successor(ctx, c, cur)
		if err != nil {
			return nil, err
		}
		last, present = obj, cur
		if emptied(obj, cur.Object()) {
			return nil, errEmptied
		}
		return obj, nil
	}
	addWarnings := func() {
		// Without a generation there is no telling what has changed.
		if generation := last.GetGeneration(); c.prepare == nil && (generation == 0 || generation != present.Object().GetGeneration()) {
			r.addWarnings(last)
		}
	}
	for {
		if c.dryRun {
			cur, err := r.res.collection.Get(ctx, r.Namespace, r.Name, "")
			if err != nil {
				return nil, nil, err
			}
			if _, err := step(cur); err != nil && !errors.Is(err, errEmptied) {
				return nil, nil, err
			}
			addWarnings()
			return nil, last, nil
		}
		item, err := r.res.collection.Update(ctx, r.Namespace, r.Name, step)
		if apierrors.IsRequestEntityTooLargeError(err) && last != nil && !c.applied && !c.untracked {
			c.untracked = true // as upstream: without them it may fit
			continue
		}
		if !errors.Is(err, errEmptied) {
			if err == nil {
				addWarnings()
			}
			return item, last, err
		}
		c.admitted.end(ctx, errEmptied)
		err = r.finalizeDeletion(ctx, present)
		if !errors.Is(err, errChanged) {
			return nil, last, err
		}
	}
}

// finalizeDeletion deletes an object from which an update has removed the last finalizer. For
// admission that is a deletion, after an update that was not written.
func (r *lifecycle) finalizeDeletion(ctx context.Context, cur *store.Item) error {
	var a admitting
	if err := a.begin(ctx, r.exchange, admission.Delete, nil, cur.Object(), nil); err != nil {
		return err
	}
	err := a.finish(ctx)
	if err == nil {
		err = r.remove(ctx, cur.Revision())
	}
	a.end(ctx, err)
	return err
}

// successor is the object to store in the place of cur.
func (r *lifecycle) successor(ctx context.Context, c change, cur *store.Item) (api.Object, error) {
	old := cur.Object()
	obj, err := c.next(cur)
	if err != nil {
		return nil, err
	}
	if !anyVersion(obj) && obj.GetResourceVersion() != old.GetResourceVersion() {
		return nil, apistatus.Conflict(r.res.groupResource(), r.Name)
	}
	uid := obj.GetUID()
	if c.whole {
		if uid != "" && uid != old.GetUID() {
			return nil, apistatus.PreconditionFailed(r.res.groupResource(), r.Name, "UID", string(uid), string(old.GetUID()))
		}
		if err := r.checkConditional(obj); err != nil {
			return nil, err
		}
	}
	carryOver(obj, old)
	if uid != "" {
		obj.SetUID(uid) // which validation compares
	}
	k := r.res.Storage()
	prepare := k.PrepareUpdate
	_, validate := r.res.Validators()
	if c.prepare != nil {
		prepare, validate = c.prepare, c.validate
	}
	call(k.Default, obj)
	if err := r.track(ctx, obj, old, &c.writeOptions); err != nil {
		return nil, err
	}
	owners := obj.GetManagedFields()
	call2(prepare, obj, old)
	obj.SetManagedFields(owners) // also where most of the object is replaced by the old one
	if err := c.admitted.begin(ctx, r.exchange, admission.Update, obj, old, c.options); err != nil {
		return nil, err
	}
	errs := append(rules.ValidateCommonFields(obj, old, k.Namespaced), check2(validate, obj, old)...)
	if err := apistatus.Invalid(k.GroupKind(), r.Name, errs); err != nil {
		return nil, err
	}
	if err := c.admitted.finish(ctx); err != nil {
		return nil, err
	}
	fieldmanager.KeepTimes(obj, old)
	return obj, nil
}

// carryOver keeps what a client's change is ignored of. Validation refuses to begin a deletion by an update.
func carryOver(obj, old api.Object) {
	obj.SetResourceVersion(old.GetResourceVersion())
	obj.SetUID(old.GetUID())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	if t := old.GetDeletionTimestamp(); t != nil {
		obj.SetDeletionTimestamp(t)
	}
	if grace := old.GetDeletionGracePeriodSeconds(); grace != nil && obj.GetDeletionGracePeriodSeconds() == nil {
		obj.SetDeletionGracePeriodSeconds(grace)
	}
	obj.SetGeneration(old.GetGeneration())
	if obj.GetGenerateName() == "" {
		obj.SetGenerateName(old.GetGenerateName())
	}
}

// errChanged is returned when the object is no longer at the revision that was read.
var errChanged = errors.New("the object has changed")

// remove deletes the request's object if it is still at that revision. An object that another request has deleted
// meanwhile is an error: this one has not done so, and has written nothing.
func (r *lifecycle) remove(ctx context.Context, revision int64) error {
	_, err := r.res.collection.Delete(ctx, r.Namespace, r.Name, func(cur *store.Item) error {
		if cur.Revision() != revision {
			return errChanged
		}
		return nil
	})
	return err
}

// emptied reports whether obj, an update of old, is to be deleted now.
func emptied(obj, old api.Object) bool {
	if old.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	if ns, ok := obj.(*corev1.Namespace); ok {
		return len(ns.Spec.Finalizers) == 0
	}
	if _, ok := obj.(*corev1.Pod); ok {
		// A pod in its grace period waits for the kubelet.
		if grace := obj.GetDeletionGracePeriodSeconds(); grace != nil && *grace > 0 {
			return false
		}
	}
	return true
}
