package apiserver

import (
	"errors"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// deleteWorkers delete the objects of one deletecollection: enough that the store can
// put several writes into one fsync.
const deleteWorkers = 32

func (r *request) deleteCollection() error {
	o, err := r.deleteOptions()
	if err != nil {
		return err
	}
	lo, err := listOptions(r.URL, false)
	if err != nil {
		return err
	}
	keep, err := r.res.keep(lo, "")
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
			_, _, err := r.deleteOne(ctx, obj.GetNamespace(), obj.GetName(), &own)
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
