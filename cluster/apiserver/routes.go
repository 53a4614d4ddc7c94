package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

// newRoutes derives the routes of a table. Resources of kinds that former has are kept.
func (s *Server) newRoutes(t *api.Table, former *routes) (*routes, error) {
	rt := &routes{table: t, resources: map[schema.GroupVersionResource]*resource{}}
	for _, k := range t.Served() {
		gvr := k.GroupVersion().WithResource(k.Plural)
		if former != nil {
			if r := former.resources[gvr]; r != nil && r.Kind == k {
				rt.resources[gvr] = r
				continue
			}
		}
		r := s.newResource(k)
		if r.collection == nil && !k.Virtual {
			return nil, fmt.Errorf("%s: the store does not keep them", gvr)
		}
		rt.resources[gvr] = r
	}
	var err error
	if rt.discovery, err = newDiscovery(t.Served()); err != nil {
		return nil, fmt.Errorf("building discovery: %w", err)
	}
	if s.OpenAPI != nil {
		rt.openAPI = s.OpenAPI(t)
	}
	return rt, nil
}

func (s *Server) newResource(k *api.Kind) *resource {
	r := &resource{Kind: k, groupVersion: k.GroupVersion().String(), retirement: retirementOf(k)}
	r.columns = newTableColumns(r.columnKind())
	r.returnsGone = api.ShowsDeleted(k.Storage().GroupKind())
	r.jsonPrefix = fmt.Appendf(nil, `{"kind":%q,"apiVersion":%q,`, k.Kind, r.groupVersion)
	// Of a kind with field selectors of its own, upstream takes no label that the kind does not have.
	r.fieldLabels = map[string]bool{"metadata.name": true, "metadata.namespace": k.Namespaced || k.Fields == nil}
	r.routes = s.routesOf(r)
	if k.Virtual {
		return r
	}
	r.collection = s.Store.Of(k)
	if reduced := k.InReducedForm(); reduced != nil {
		r.reduced = s.newResource(reduced)
		r.reduced.wholeOnly = true
	}
	if k.Fields != nil {
		for label := range k.Fields(k.Storage().New()) {
			r.fieldLabels[label] = true
		}
	}
	return r
}

// SetTable replaces the table of kinds while the server runs. The store begins to keep
// the kinds that are new before requests can name them, and no longer keeps those that
// are left out: watches on them end with 410. Requests and watches of other kinds go on.
func (s *Server) SetTable(ctx context.Context, t *api.Table) error {
	s.setTable.Lock()
	defer s.setTable.Unlock()
	former := s.routes.Load()
	var added []*api.Kind
	undo := func(err error) error {
		for _, k := range added {
			s.Store.Retire(k)
		}
		return fmt.Errorf("replacing the table of kinds: %w", err)
	}
	for _, k := range t.Kinds() {
		if k.Virtual || s.Store.Of(k) != nil {
			continue
		}
		if k.New == nil || k.NewList == nil {
			return undo(errors.New(k.Kind + " has no objects"))
		}
		if _, err := s.Store.Serve(ctx, k); err != nil {
			return undo(err)
		}
		added = append(added, k)
	}
	rt, err := s.newRoutes(t, former) //nolint:contextcheck // handlers run later, each with its request
	if err != nil {
		return undo(err)
	}
	s.routes.Store(rt)
	kept := t.Kinds()
	for _, k := range former.table.Kinds() {
		if !slices.Contains(kept, k) {
			s.Store.Retire(k)
		}
	}
	return nil
}
