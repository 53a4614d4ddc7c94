package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/negotiate"
)

// computed returns the objects of a kind that is not stored: the one of a name, or all for "".
type computed func(r *request, name string) ([]api.Object, error)

func computedRoutes(all computed) map[route]verbs {
	return map[route]verbs{
		{}:            {"list": func(r *request) error { return r.listComputed(all) }},
		{named: true}: {"get": func(r *request) error { return r.getComputed(all) }},
	}
}

func (r *request) getComputed(all computed) error {
	objects, err := all(r, r.Name)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if obj.GetName() == r.Name {
			return r.writeObject(http.StatusOK, obj, r.res.GroupVersionKind)
		}
	}
	return apierrors.NewNotFound(r.res.groupResource(), r.Name)
}

func (r *request) listComputed(all computed) error {
	_, keep, err := r.selection(false, r.Name)
	if err != nil {
		return err
	}
	a, err := negotiate.Response(r.Request, negotiate.AllForms)
	if err != nil {
		return err
	}
	include, err := includeObject(r.Request)
	if err != nil {
		return err
	}
	objects, err := all(r, "")
	if err != nil {
		return err
	}
	table := r.res.columns.table(metav1.ListMeta{}, true)
	kept := []runtime.Object{}
	for _, obj := range objects {
		if keep != nil && !keep(obj) {
			continue
		}
		kept = append(kept, obj)
		if a.Form == negotiate.Table {
			row, err := r.res.row(r.Context(), obj, include, a.Version)
			if err != nil {
				return err
			}
			table.Rows = append(table.Rows, row)
		}
	}
	if a.Form == negotiate.Table {
		return r.writeEncoded(http.StatusOK, a, table, metaGVK(a.Version, "Table"))
	}
	list := r.res.NewList()
	if err := meta.SetList(list, kept); err != nil {
		return err
	}
	gvk := r.res.GroupVersionKind
	gvk.Kind += "List"
	return r.writeEncoded(http.StatusOK, a, list, gvk)
}

// createVirtual answers the POST of a kind of which nothing is stored.
func (r *request) createVirtual(answer CreateFunc) error {
	a, err := negotiate.Response(r.Request, negotiate.NoForms) // what is not stored has no rows
	if err != nil {
		return err
	}
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	obj, err := r.decodeObject(o.validation)
	if err != nil {
		return err
	}
	if err := r.checkNamespace(obj); err != nil {
		return err
	}
	wipe(obj)
	call(r.res.Storage().Default, obj)
	validate, _ := r.res.Validators()
	if err := apistatus.Invalid(r.res.Kind.GroupKind(), obj.GetName(), check(validate, obj)); err != nil {
		return err
	}
	notes := &authn.Notes{} // of the token that a TokenReview is about
	result, err := answer(authn.WithNotes(r.Context(), notes), r.user, obj)
	r.writeNotes(notes)
	if err != nil {
		return err
	}
	if r.res.Stored != nil { // the answer to a review, in the version of today
		if result, err = r.res.fromStored(r.Context(), result.(api.Object)); err != nil {
			return err
		}
	}
	body, err := r.encode(result, r.res.GroupVersionKind, a.Media)
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusCreated, a.Media.ContentType, body)
}

// probeTimeout is how long a component may take to report its status.
const probeTimeout = 2 * time.Second

// componentStatuses are computed.
func (r *request) componentStatuses(name string) (all []api.Object, _ error) {
	for _, c := range r.s.Components {
		if name == "" || c.Name == name {
			all = append(all, c.status(r.Context()))
		}
	}
	return all, nil
}

// status probes a component.
func (c Component) status(ctx context.Context) *corev1.ComponentStatus {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	condition := corev1.ComponentCondition{Type: corev1.ComponentHealthy, Status: corev1.ConditionTrue}
	message, err := c.Probe(ctx)
	condition.Message = message
	if err != nil {
		condition.Status, condition.Message = corev1.ConditionFalse, err.Error()
	}
	return &corev1.ComponentStatus{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name},
		Conditions: []corev1.ComponentCondition{condition},
	}
}

// noCustomResources answers the list of CustomResourceDefinitions: there are none. A
// kubectl that reads an unknown kind lists them before it reports the error; without an answer
// it would report that instead.
func (r *request) noCustomResources() error {
	body := fmt.Sprintf(`{"kind":"CustomResourceDefinitionList","apiVersion":"apiextensions.k8s.io/v1","metadata":{"resourceVersion":"%d"},"items":[]}`+"\n", r.s.Store.Revision())
	return r.writeBody(http.StatusOK, "application/json", []byte(body))
}

func (r *exchange) asksForCustomResources() bool {
	return r.Group == "apiextensions.k8s.io" && r.Version == "v1" && r.Plural == "customresourcedefinitions" && r.Verb == "list" &&
		r.Namespace == "" && !r.Named
}
