package apiserver

import (
	"net/http"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// evict answers POST pods/NAME/eviction: a polite delete, which drain uses. There are
// no disruption budgets among the kinds, so nothing stands against it.
func (r *request) evict() error {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	e := &policyv1.Eviction{}
	if err := r.decode(e, policyv1.SchemeGroupVersion.WithKind("Eviction"), o.validation); err != nil {
		return err
	}
	if e.Name != "" && e.Name != r.Name {
		return badRequest("name in URL does not match name in Eviction object: %s vs %s", r.Name, e.Name)
	}
	if err := r.checkNamespace(e); err != nil {
		return err
	}
	options := e.DeleteOptions
	if options == nil {
		options = &metav1.DeleteOptions{}
	}
	if o.dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	if _, _, err := r.deleteOne(r.Context(), r.Namespace, r.Name, options); err != nil {
		return err
	}
	return r.writeObject(http.StatusCreated, &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, statusGVK)
}
