package apiserver

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/negotiate"
)

// admitting is one write in admission: begin admits the object, finish validates it, end
// reports the outcome. The zero value has no plugins.
type admitting struct {
	r   *exchange
	req *admission.Request
}

// begin runs the plugins that may change obj. When it refuses, the write has ended for them.
func (a *admitting) begin(ctx context.Context, r *exchange, verb string, obj, old api.Object, options runtime.Object) error {
	if r.s.Admission == nil {
		return nil
	}
	a.r = r
	a.req = &admission.Request{
		User: r.user, Verb: verb, Kind: r.res.Storage(),
		RequestKind: r.res.GroupVersionKind, RequestResource: r.res.GroupVersion().WithResource(r.res.Plural),
		Namespace: r.Namespace, Name: r.Name, Subresource: r.Subresource, Options: options, DryRun: isDryRun(options),
	}
	// A nil api.Object in a runtime.Object would not be nil.
	if obj != nil {
		a.req.Object = obj
		if name := obj.GetName(); name != "" { // a subresource, such as a binding, may have none
			a.req.Name = name
		}
	}
	if old != nil {
		a.req.Old = old
	}
	err := r.s.Admission.Admit(ctx, a.req)
	if err != nil {
		a.end(ctx, err)
	}
	return err
}

// finish runs the plugins that only refuse.
func (a *admitting) finish(ctx context.Context) error {
	if a.req == nil {
		return nil
	}
	err := a.r.s.Admission.Validate(ctx, a.req)
	if !a.r.inProcess { // the components of this process print no warnings
		for _, text := range a.req.Warnings {
			a.r.w.Warn(text)
		}
	}
	return err
}

// end may be called again; only the first counts.
func (a *admitting) end(ctx context.Context, err error) {
	if a.req != nil {
		a.r.changedBy = a.req.ChangedBy
		if old, ok := a.req.Old.(api.Object); ok && err != nil && !errors.Is(err, errChanged) && !errors.Is(err, errEmptied) {
			a.r.recordRefusal(old.GetUID(), err)
		}
		a.r.audit.Annotate(a.req.AuditAnnotations)
		// The client may be gone by now.
		a.r.s.Admission.Done(context.WithoutCancel(ctx), a.req, err)
		a.req = nil
	}
}

// admit admits what is not stored: a connection, or an eviction before anything is written for
// it.
func (r *lifecycle) admit(verb string, obj api.Object, options runtime.Object) error {
	var a admitting
	err := a.begin(r.Context(), r.exchange, verb, obj, nil, options)
	if err == nil {
		err = a.finish(r.Context())
		a.end(r.Context(), err)
	}
	return err
}

func isDryRun(options runtime.Object) bool {
	switch o := options.(type) {
	case *metav1.CreateOptions:
		return len(o.DryRun) > 0
	case *metav1.UpdateOptions:
		return len(o.DryRun) > 0
	case *metav1.PatchOptions:
		return len(o.DryRun) > 0
	case *metav1.DeleteOptions:
		return len(o.DryRun) > 0
	}
	return false
}

// authorize returns a 403 if the user may not do to the request's object what the verb
// stands for: the request's own verb, or another that it needs as well. Who may only read the
// reduced form of a kind gets that.
func (s *Server) authorize(r *exchange, verb string) error {
	a := r.Attributes(r.user, verb)
	a.FieldSelector = r.Info.FieldSelector(r.URL)
	allowed, reason, err := s.Authorizer.Authorize(r.Context(), a)
	if err == nil && !allowed && r.hasReducedForm(verb) {
		part := a
		part.Subresource = r.res.Reduced.Name
		var why string
		if allowed, why, err = s.Authorizer.Authorize(r.Context(), part); allowed {
			reason, r.res = why, r.res.reduced
		}
	}
	r.audit.Authorized(allowed, reason, err)
	if err != nil {
		return fmt.Errorf("authorizing: %w", err)
	}
	if !allowed {
		return apistatus.Forbidden(&a, reason)
	}
	return nil
}

// hasReducedForm reports whether the verb reads many objects of a kind that has a reduced form.
func (r *exchange) hasReducedForm(verb string) bool {
	return r.res != nil && r.res.reduced != nil && r.Subresource == "" && (verb == "list" || verb == "watch")
}

// listForms are the forms in which a list or a watch can be answered.
func (r *exchange) listForms() negotiate.Forms {
	if r.res.wholeOnly {
		return negotiate.Forms{Streams: true}
	}
	return negotiate.ListForms
}
