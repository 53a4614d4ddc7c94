package apiserver

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// Answers other than the bytes of the store are made for one client. Their cost is not bounded
// by the size of the request, so that it is bounded here.
const (
	// maxYAMLValues is how many values become YAML: 20,000 take about half a second.
	maxYAMLValues = 20_000
	// yamlValue is what each of them takes in memory, in bytes.
	yamlValue = 1 << 10
	// rowBytes is what the metadata of an object takes, without annotations and the like.
	rowBytes = 512
)

// mayRenderItems counts memory for the items of a list in a form that is made for this
// client, and refuses what its user may not have. Administrators may have all.
func (r *request) mayRenderItems(items []*store.Item, count func(*store.Item) int) error {
	if r.ticket.Exempt() {
		return nil
	}
	size := 0
	for _, item := range items {
		size += count(item)
	}
	return r.w.Reserve(size)
}

func wholeSize(item *store.Item) int {
	return rowBytes + item.Size()
}

func metadataSize(item *store.Item) int { return sizeOfMetadata(item.Object()) }

func sizeOfMetadata(obj api.Object) int {
	size := rowBytes
	for _, set := range []map[string]string{obj.GetLabels(), obj.GetAnnotations()} {
		for k, v := range set {
			size += len(k) + len(v)
		}
	}
	fields := obj.GetManagedFields()
	for i := range fields {
		if f := fields[i].FieldsV1; f != nil {
			size += len(f.Raw)
		}
	}
	return size
}

// transcode returns the JSON of an answer as YAML or indented, if that costs no more than a
// request may.
func (r *request) transcode(data []byte, m *negotiate.Media, pretty bool) ([]byte, error) {
	if m != negotiate.YAML && !pretty {
		return data, nil
	}
	values, indented := negotiate.Measure(data)
	switch {
	case indented > 8*len(data)+connection.FreeBytes: // nested far deeper than any tool makes it
		if m == negotiate.YAML {
			return nil, apistatus.TooExpensive(errTooDeep)
		}
		return append(data[:len(data):len(data)], '\n'), nil
	case m == negotiate.YAML && values > maxYAMLValues && !r.ticket.Exempt() && !r.inProcess:
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf(
			"the answer has more than %d values, which is too much for YAML; ask for JSON, or use limit and continue", maxYAMLValues))
	}
	size := indented
	if m == negotiate.YAML {
		size += values * yamlValue
	}
	if err := r.w.Reserve(size); err != nil {
		return nil, err
	}
	return negotiate.Transcode(data, m, pretty)
}

var errTooDeep = fmt.Errorf("the object is nested too deeply for YAML; ask for JSON")

// encode encodes an object that is not in the store. It sets the kind and version of obj, which
// must not be shared.
func (r *request) encode(obj runtime.Object, gvk schema.GroupVersionKind, m *negotiate.Media) ([]byte, error) {
	if m == negotiate.Protobuf {
		return negotiate.Encode(obj, gvk, m, false)
	}
	data, err := negotiate.Encode(obj, gvk, negotiate.JSON, false)
	if err != nil {
		return nil, err
	}
	return r.transcode(data, m, negotiate.IsPretty(r.Request))
}

// mayRenderTable counts memory for the rows of a table.
func (r *request) mayRenderTable(items []*store.Item, include metav1.IncludeObjectPolicy) error {
	if include == metav1.IncludeObject {
		return r.mayRenderItems(items, wholeSize)
	}
	return r.mayRenderItems(items, metadataSize)
}
