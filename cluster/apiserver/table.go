package apiserver

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
)

// checkEvery is after how many objects an answer checks whether its request was cancelled.
const checkEvery = 256

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
		return "", apistatus.BadRequest("Unable to convert to Table as requested: includeObject: Invalid value: %q: must be 'Metadata', 'Object', 'None', or empty", v)
	}
}

// columnKind returns the kind whose columns are printed: for a version without columns, its storage version.
func (r *resource) columnKind() *api.Kind {
	if r.Row == nil {
		return r.Storage()
	}
	return r.Kind
}

// row returns the row of a stored object.
func (r *resource) row(ctx context.Context, obj api.Object, include metav1.IncludeObjectPolicy, version string) (metav1.TableRow, error) {
	rows, err := r.rows(ctx, []api.Object{obj}, include, version)
	if err != nil {
		return metav1.TableRow{}, err
	}
	return rows[0], nil
}

// rows does the same for the objects of a list, until ctx ends.
func (r *resource) rows(ctx context.Context, objects []api.Object, include metav1.IncludeObjectPolicy, version string) ([]metav1.TableRow, error) {
	served := objects
	if r.Stored != nil && (r.Row != nil || include == metav1.IncludeObject) {
		var err error
		if served, err = r.FromStored(ctx, objects...); err != nil {
			return nil, err
		}
	}
	from, shown := r.columnKind(), served
	if from != r.Kind {
		shown = objects
	}
	rows := make([]metav1.TableRow, len(objects))
	for i, obj := range objects {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if from.Row != nil && len(from.Columns) > 0 {
			rows[i].Cells = from.Row(shown[i])
		} else {
			rows[i].Cells = []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
		}
		var err error
		if rows[i].Object, err = r.included(obj, served[i], include, version); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// bookmarkRow returns a row of null cells; its object has the revision of the watch.
func (r *resource) bookmarkRow(obj api.Object, include metav1.IncludeObjectPolicy, version string) (metav1.TableRow, error) {
	object, err := r.included(obj, obj, include, version)
	return metav1.TableRow{Cells: make([]any, len(r.columns)), Object: object}, err
}

// included is what goes with an object's row: itself as it is served, or its metadata.
func (r *resource) included(obj, served api.Object, include metav1.IncludeObjectPolicy, version string) (out runtime.RawExtension, err error) {
	switch include {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		out.Raw, err = r.raw(served)
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
