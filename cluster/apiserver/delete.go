package apiserver

import (
	"bytes"
	"cmp"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

func (r *lifecycle) delete() error {
	o, err := r.deleteOptions()
	if err != nil {
		return err
	}
	return r.deleteNamed(o)
}

// deleteNamed deletes the object of the path and answers.
func (r *lifecycle) deleteNamed(o *metav1.DeleteOptions) error {
	d, err := r.deleteOne(r.Context(), r.Namespace, r.Name, o)
	if err != nil {
		return err
	}
	if d.gone && !r.res.returnsGone {
		return r.writeSuccess(http.StatusOK, r.details(d.item.Object()))
	}
	if d.unstored == nil {
		r.record(d.item.Object().GetUID(), d.item.Revision())
	}
	code := http.StatusOK
	if !d.gone && o.OrphanDependents != nil && !*o.OrphanDependents { //nolint:staticcheck // SA1019: clients of old send it
		code = http.StatusAccepted
	}
	if d.unstored != nil {
		return r.writeUnstored(code, d.unstored)
	}
	return r.writeItem(code, d.item)
}

// deletion is what a DELETE has done to an object.
type deletion struct {
	gone bool        // it is deleted; else it stays for its finalizers or its grace period
	item *store.Item // its last state in the store
	// unstored is the state that the client sees, where the store has not kept it: of a dry run, or with the
	// time at which an object went that could have had a grace period.
	unstored api.Object
}

func (r *exchange) details(obj api.Object) *metav1.StatusDetails {
	return &metav1.StatusDetails{Name: obj.GetName(), Group: r.Group, Kind: r.Plural, UID: obj.GetUID()}
}

// deleteOptions reads the options out of the body or, if there is none, the query.
func (r *lifecycle) deleteOptions() (*metav1.DeleteOptions, error) {
	o := &metav1.DeleteOptions{}
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if err = decodeDeleteOptions(body, negotiate.BodyType(r.Request), o); err == nil && o.Kind != "" && o.Kind != "DeleteOptions" {
			err = apistatus.BadRequest("%v", runtime.NewNotRegisteredErrForKind(api.Scheme.Name(), o.GroupVersionKind()))
		}
	} else if r.URL.RawQuery != "" {
		query := r.URL.Query()
		err = metav1.Convert_url_Values_To_v1_DeleteOptions(&query, o, nil)
	}
	if err != nil {
		if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
			err = apistatus.BadRequest("%v", err)
		}
		return nil, err
	}
	if errs := validation.ValidateDeleteOptions(o); len(errs) > 0 {
		return nil, invalidOptions("DeleteOptions", errs)
	}
	if r.res.GroupVersionKind == batchv1.SchemeGroupVersion.WithKind("Job") && !r.inProcess && o.PropagationPolicy == nil &&
		o.OrphanDependents == nil { //nolint:staticcheck // SA1019: clients of old send it
		r.w.Warn("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or " +
			"set propagationPolicy=Orphan to suppress this warning")
	}
	return o, nil
}

// decodeDeleteOptions takes them under any group's name: clients send that of the
// resource, of meta.k8s.io, or none.
func decodeDeleteOptions(body []byte, mediaType string, o *metav1.DeleteOptions) error {
	switch mediaType {
	case "", "application/json":
		err := kjson.UnmarshalCaseSensitivePreserveInts(body, o)
		if err != nil && !stdjson.Valid(body) {
			err = fmt.Errorf("couldn't get version/kind; json parse error: %w", err)
		}
		return err
	case "application/yaml":
		return yaml.Unmarshal(body, o)
	case runtime.ContentTypeProtobuf:
		if !bytes.HasPrefix(body, protobufMagic) {
			return o.Unmarshal(body)
		}
		envelope := runtime.Unknown{}
		if err := envelope.Unmarshal(body[len(protobufMagic):]); err != nil {
			return apistatus.BadRequest("the options are not in the protobuf encoding that they claim to be in")
		}
		err := o.Unmarshal(envelope.Raw)
		o.APIVersion, o.Kind = envelope.APIVersion, envelope.Kind
		return err
	}
	return apistatus.UnsupportedMediaType(negotiate.Accepted)
}

// deleteOne deletes one object, or begins to. While another write comes between, it begins again.
func (r *lifecycle) deleteOne(ctx context.Context, namespace, name string, o *metav1.DeleteOptions) (deletion, error) {
	e := *r.exchange
	e.Info = r.Of(namespace, name)
	one := newLifecycle(&e)
	for {
		d, err := one.tryDelete(ctx, o)
		if !errors.Is(err, errChanged) {
			return d, err
		}
	}
}

func (r *lifecycle) tryDelete(ctx context.Context, o *metav1.DeleteOptions) (d deletion, err error) {
	c := r.res.collection
	cur, err := c.Get(ctx, r.Namespace, r.Name, "")
	if err != nil {
		return d, err
	}
	if err := r.checkPreconditions(cur.Object(), o); err != nil {
		return d, err
	}
	dryRun := len(o.DryRun) > 0
	var a admitting
	if err := a.begin(ctx, r.exchange, admission.Delete, nil, cur.Object(), o); err != nil {
		return d, err
	}
	next, gone := plan(r.res, cur.Object(), o, time.Now())
	defer func() {
		// An object that stays for now keeps what it has.
		if ended := err; ended != nil || !gone {
			a.end(ctx, cmp.Or(ended, errStays))
		} else {
			a.end(ctx, nil)
		}
	}()
	if err := a.finish(ctx); err != nil {
		return d, err
	}
	d = deletion{gone: gone, item: cur}
	switch {
	case next == nil && !gone:
		return d, nil
	case dryRun:
		d.unstored = next
		return d, nil
	case gone:
		d.unstored = next
		return d, r.remove(ctx, cur.Revision())
	}
	d.item, err = c.Update(ctx, r.Namespace, r.Name, func(fresh *store.Item) (api.Object, error) {
		if fresh.Revision() != cur.Revision() {
			return nil, errChanged
		}
		return next, nil
	})
	return d, err
}

// errStays ends admission of a deletion that has not removed the object yet.
var errStays = errors.New("the object stays until its finalizers are gone")

func (r *lifecycle) checkPreconditions(obj api.Object, o *metav1.DeleteOptions) error {
	if p := o.Preconditions; p != nil {
		if p.UID != nil && *p.UID != obj.GetUID() {
			return notAsExpected(r.res, obj, "the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, obj.GetUID())
		}
		if v := p.ResourceVersion; v != nil && *v != obj.GetResourceVersion() {
			return notAsExpected(r.res, obj, "the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *v, obj.GetResourceVersion())
		}
	}
	return nil
}

// notAsExpected is upstream's answer, which names the kind in the place of the resource.
func notAsExpected(r *resource, obj api.Object, format string, want, have any) error {
	k := r.Storage().GroupKind()
	return apierrors.NewConflict(schema.GroupResource{Group: k.Group, Resource: k.Kind}, obj.GetName(), fmt.Errorf(format, want, have))
}

// plan returns what a DELETE does to an object: delete it now, or store `next` in its place,
// or, when neither, nothing (its deletion is under way already). Of a kind with grace periods, next is also what
// the client sees of an object that is deleted now.
//
// An object stays as long as it has finalizers. A pod on a node stays until its grace
// period is over, when the kubelet deletes it with a period of 0; later requests can
// only shorten the period.
func plan(r *resource, cur api.Object, o *metav1.DeleteOptions, now time.Time) (next api.Object, gone bool) {
	finalizers := deletionFinalizers(r, cur, o)
	grace, graceful := gracePeriod(cur, o)
	held := len(finalizers) > 0
	if ns, ok := cur.(*corev1.Namespace); ok {
		held = held || len(ns.Spec.Finalizers) > 0
	}
	gone = !held && (!graceful || grace == 0)
	if gone && !graceful {
		return nil, true
	}
	next = cur.DeepCopyObject().(api.Object)
	next.SetFinalizers(finalizers)
	changed := len(finalizers) != len(cur.GetFinalizers())
	if began := cur.GetDeletionTimestamp(); began == nil {
		until := metav1.NewTime(now.Add(time.Duration(grace) * time.Second).Truncate(time.Second))
		next.SetDeletionTimestamp(&until)
		if _, ok := next.(*corev1.Namespace); !ok { // as upstream
			next.SetDeletionGracePeriodSeconds(&grace)
		}
		if g := cur.GetGeneration(); g > 0 {
			next.SetGeneration(g + 1)
		}
		changed = true
	} else if left := cur.GetDeletionGracePeriodSeconds(); left != nil && grace < *left {
		until := metav1.NewTime(began.Add(time.Duration(grace-*left) * time.Second))
		next.SetDeletionTimestamp(&until)
		next.SetDeletionGracePeriodSeconds(&grace)
		changed = true
	}
	if ns, ok := next.(*corev1.Namespace); ok && ns.Status.Phase != corev1.NamespaceTerminating {
		ns.Status.Phase = corev1.NamespaceTerminating
		changed = true
	}
	if !changed && !gone {
		return nil, false
	}
	return next, gone
}

// gracePeriod is the time in seconds that an object has left, for kinds that have any.
func gracePeriod(obj api.Object, o *metav1.DeleteOptions) (seconds int64, graceful bool) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return 0, false
	}
	switch {
	case o.GracePeriodSeconds != nil:
		seconds = *o.GracePeriodSeconds
	case pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil:
		return *pod.DeletionGracePeriodSeconds, true
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.Spec.NodeName == "" || podfacts.Terminal(pod) {
		return 0, true // there is nothing to wait for
	}
	if seconds < 0 {
		seconds = 1
	}
	if left := pod.DeletionGracePeriodSeconds; pod.DeletionTimestamp != nil && left != nil {
		seconds = min(seconds, *left)
	}
	return seconds, true
}

// orphanByDefault are the kinds and versions whose dependents stay when the request has no policy,
// for the clients of 2015.
var orphanByDefault = map[schema.GroupVersionKind]bool{
	{Version: "v1", Kind: "ReplicationController"}:         true,
	{Group: "batch", Version: "v1", Kind: "Job"}:           true,
	{Group: "batch", Version: "v1beta1", Kind: "CronJob"}:  true,
	{Group: "batch", Version: "v2alpha1", Kind: "CronJob"}: true,
}

// uncollected are the kinds that the garbage collector leaves out: their deletion has no policy.
var uncollected = map[schema.GroupKind]bool{{Kind: "Event"}: true}

// deletionFinalizers are an object's finalizers, with the one for its dependents that
// the request asks for: the garbage collector does the rest.
func deletionFinalizers(r *resource, obj api.Object, o *metav1.DeleteOptions) []string {
	if uncollected[r.Storage().GroupKind()] {
		return obj.GetFinalizers()
	}
	orphan, foreground := false, false
	for _, f := range obj.GetFinalizers() {
		orphan = orphan || f == metav1.FinalizerOrphanDependents
		foreground = foreground || f == metav1.FinalizerDeleteDependents
	}
	switch {
	case o.OrphanDependents != nil: // old clients send it
		orphan, foreground = *o.OrphanDependents, false
	case o.PropagationPolicy != nil:
		orphan = *o.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *o.PropagationPolicy == metav1.DeletePropagationForeground
	case !orphan && !foreground:
		orphan = orphanByDefault[r.GroupVersionKind]
	}
	var keep []string
	for _, f := range obj.GetFinalizers() {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			keep = append(keep, f)
		}
	}
	if orphan {
		keep = append(keep, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		keep = append(keep, metav1.FinalizerDeleteDependents)
	}
	return keep
}

// deleteWorkers delete the objects of one deletecollection: enough that the store can
// put several writes into one fsync.
const deleteWorkers = 32

func (r *request) deleteCollection() error {
	o, err := r.deleteOptions()
	if err != nil {
		return err
	}
	lo, keep, err := r.selection(false, "")
	if err != nil {
		return err
	}
	page, err := r.res.collection.List(r.Context(), r.Namespace, store.ListOptions{
		ResourceVersion: lo.ResourceVersion, Match: lo.ResourceVersionMatch,
		Limit: lo.Limit, Continue: lo.Continue, Keep: keep,
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(r.Context())
	group.SetLimit(deleteWorkers)
	for _, item := range page.Items {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			own := *o // each may change its own
			obj := item.Object()
			_, err := r.deleteOne(ctx, obj.GetNamespace(), obj.GetName(), &own)
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	if err := errors.Join(group.Wait(), r.Context().Err()); err != nil {
		return err
	}
	a, err := r.output(negotiate.AllForms)
	if err != nil {
		return err
	}
	return r.writeList(a, &store.Page{Items: page.Items, Revision: page.Revision})
}
