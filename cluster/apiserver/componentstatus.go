package apiserver

import (
	"context"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/negotiate"
)

// probeTimeout is how long a component may take to report its status.
const probeTimeout = 2 * time.Second

var componentGV = schema.GroupVersion{Version: "v1"}

func (r *request) getComponent() error {
	for _, c := range r.s.Components {
		if c.Name == r.Name {
			return r.writeObject(http.StatusOK, c.status(r.Context()), componentGV.WithKind("ComponentStatus"))
		}
	}
	return apierrors.NewNotFound(r.res.groupResource(), r.Name)
}

func (r *request) listComponents() error {
	o, err := listOptions(r.URL, false)
	if err != nil {
		return err
	}
	keep, err := r.res.keep(o, r.Name)
	if err != nil {
		return err
	}
	a, err := negotiate.Response(r.Request, negotiate.AllForms)
	if err != nil {
		return err
	}
	list := &corev1.ComponentStatusList{Items: []corev1.ComponentStatus{}}
	table := r.res.columns.table(metav1.ListMeta{}, true)
	for _, c := range r.s.Components {
		s := c.status(r.Context())
		if keep != nil && !keep(s) {
			continue
		}
		list.Items = append(list.Items, *s)
		row, err := r.res.row(r.Context(), s, metav1.IncludeMetadata, "v1")
		if err != nil {
			return err
		}
		table.Rows = append(table.Rows, row)
	}
	if a.Form == negotiate.Table {
		return r.writeEncoded(http.StatusOK, a, table, metaGVK(a.Version, "Table"))
	}
	return r.writeEncoded(http.StatusOK, a, list, componentGV.WithKind("ComponentStatusList"))
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
