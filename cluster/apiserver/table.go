package apiserver

import (
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
)

// tableColumns are the columns of a kind, Name and Age for a kind that names none.
type tableColumns []metav1.TableColumnDefinition

func newTableColumns(k *api.Kind) tableColumns {
	if len(k.Columns) > 0 {
		return k.Columns
	}
	return tableColumns{
		{Name: "Name", Type: "string", Format: "name", Description: "Name must be unique within a namespace."},
		{Name: "Created At", Type: "date", Description: "When the object was created."},
	}
}

// table is without rows. A watch names the columns in its first event; in the others
// they are null.
func (c tableColumns) table(list metav1.ListMeta, withColumns bool) *metav1.Table {
	t := &metav1.Table{ListMeta: list, Rows: []metav1.TableRow{}}
	if withColumns {
		t.ColumnDefinitions = c
	}
	return t
}

// includeObject is how much of each object goes with its row.
func includeObject(req *http.Request) (metav1.IncludeObjectPolicy, error) {
	if req.URL.RawQuery == "" {
		return metav1.IncludeMetadata, nil
	}
	switch v := metav1.IncludeObjectPolicy(req.URL.Query().Get("includeObject")); v {
	case "":
		return metav1.IncludeMetadata, nil
	case metav1.IncludeNone, metav1.IncludeMetadata, metav1.IncludeObject:
		return v, nil
	default:
		return "", apistatus.BadRequest("Invalid value: %q: must be 'Metadata', 'Object', 'None', or empty", v)
	}
}

// tabled is the kind whose columns are shown: an alias that has none shows its kind's.
func (r *resource) tabled() *api.Kind {
	if r.Row == nil {
		return r.life
	}
	return r.Kind
}

func (r *resource) row(obj api.Object, include metav1.IncludeObjectPolicy, version string) (metav1.TableRow, error) {
	row := metav1.TableRow{}
	shown, from := obj, r.tabled()
	if from == r.Kind {
		shown = r.view(obj)
	}
	if from.Row != nil && len(from.Columns) > 0 {
		row.Cells = from.Row(shown)
	} else {
		row.Cells = []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	}
	var err error
	row.Object, err = r.included(obj, include, version)
	return row, err
}

// bookmarkRow has nothing to show; its object says how far the watch has come.
func (r *resource) bookmarkRow(obj api.Object, include metav1.IncludeObjectPolicy, version string) (metav1.TableRow, error) {
	object, err := r.included(obj, include, version)
	return metav1.TableRow{Cells: make([]any, len(r.columns)), Object: object}, err
}

// included is what goes with an object's row.
func (r *resource) included(obj api.Object, include metav1.IncludeObjectPolicy, version string) (out runtime.RawExtension, err error) {
	switch include {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		out.Raw, err = r.raw(r.view(obj))
	default:
		p := partial(obj)
		p.APIVersion, p.Kind = metav1.GroupName+"/"+version, "PartialObjectMetadata"
		out.Object = p
	}
	return out, err
}

func partial(obj api.Object) *metav1.PartialObjectMetadata {
	return meta.AsPartialObjectMetadata(obj)
}
