package apiserver

import (
	"net/http"

	"wheelhouse/cluster/store"
)

func (r *request) get() error {
	item, err := r.stored()
	if err != nil {
		return err
	}
	if r.asksJournal() {
		return r.writeJournal(item)
	}
	return r.writeItem(http.StatusOK, item)
}

// stored returns the object that the path names, at the resourceVersion of the query.
func (r *request) stored() (*store.Item, error) {
	version := ""
	if r.URL.RawQuery != "" {
		version = r.URL.Query().Get("resourceVersion")
	}
	return r.res.collection.Get(r.Context(), r.Namespace, r.Name, version)
}
