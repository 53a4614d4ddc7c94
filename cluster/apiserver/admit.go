package apiserver

import (
	"context"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
)

// write under admission: begin lets the plugins change the object, finish lets them
// look at it when it is valid, end tells them how the write went. The zero value has
// no plugins to ask.
type admitting struct {
	r   *request
	req *admission.Request
}

// begin asks the plugins. When it refuses, the write has ended for them.
func (a *admitting) begin(ctx context.Context, r *request, verb string, obj, old api.Object, dryRun bool) error {
	if r.s.Admission == nil {
		return nil
	}
	a.r = r
	a.req = &admission.Request{
		User: r.user, Verb: verb, Kind: r.res.life,
		Namespace: r.Namespace, Name: r.Name, Subresource: r.Subresource, DryRun: dryRun,
	}
	// A nil api.Object in a runtime.Object would not be nil.
	if obj != nil {
		a.req.Object = obj
		if name := obj.GetName(); name != "" { // a part of an object, such as a binding, may have none
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

func (a *admitting) finish(ctx context.Context) error {
	if a.req == nil {
		return nil
	}
	err := a.r.s.Admission.Validate(ctx, a.req)
	if !a.r.inProcess { // our own components have nobody to show them to
		for _, text := range a.req.Warnings {
			a.r.w.Warn(text)
		}
	}
	return err
}

// end may be called again; only the first counts.
func (a *admitting) end(ctx context.Context, err error) {
	if a.req != nil {
		a.r.audit.Annotate(a.req.AuditAnnotations)
		// What is done for a client that went away is done all the same.
		a.r.s.Admission.Done(context.WithoutCancel(ctx), a.req, err)
		a.req = nil
	}
}

// admit admits what is not stored by itself: a connection, or an eviction before anything
// is written for it.
func (r *request) admit(verb string, obj api.Object, dryRun bool) error {
	var a admitting
	err := a.begin(r.Context(), r, verb, obj, nil, dryRun)
	if err == nil {
		err = a.finish(r.Context())
		a.end(r.Context(), err)
	}
	return err
}
