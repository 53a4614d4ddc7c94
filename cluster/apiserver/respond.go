package apiserver

import (
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// compressFrom is the size from which an answer is worth compressing, as upstream.
const compressFrom = 128 << 10

// gzipBytes is what a gzip.Writer keeps in memory.
const gzipBytes = 1 << 20

var gzipWriters = sync.Pool{New: func() any {
	// Level 1: the others cost several times as much for a tenth more.
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return w
}}

// writeBody answers with a body that is complete.
func (r *responder) writeBody(code int, contentType string, body []byte) error {
	return r.writeSized(code, contentType, len(body), func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	})
}

// writeSized answers with a body of known size that `write` writes in pieces.
func (r *responder) writeSized(code int, contentType string, size int, write func(io.Writer) error) error {
	h := r.w.Header()
	h.Set("Content-Type", contentType)
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache, private")
	}
	r.w.Hold(size)
	if size < compressFrom || !r.wantsGzip() || !r.ticket.Take(flowcontrol.Bytes, gzipBytes) {
		h.Set("Content-Length", strconv.Itoa(size))
		r.w.WriteHeader(code)
		if r.Method == http.MethodHead {
			return nil
		}
		return quiet(write(r.w))
	}
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	r.w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return nil
	}
	zip := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(zip)
	zip.Reset(r.w)
	if err := write(zip); err != nil {
		return quiet(err)
	}
	return quiet(zip.Close())
}

// quiet ignores the error of a write: the client has disconnected.
func quiet(error) error { return nil }

// wantsGzip reports whether the client accepts gzip, and its network is slower than compressing.
func (r *responder) wantsGzip() bool {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false // a caller in the same process has no address
	}
	addr := peer.Addr().Unmap()
	if addr.IsLoopback() {
		return false
	}
	for _, prefix := range r.s.Uncompressed {
		if prefix.Contains(addr) {
			return false
		}
	}
	return true
}

// writeItem answers with a stored object: with the bytes of the store, if the client accepts
// the object itself in a media type that is stored.
func (r *responder) writeItem(code int, item *store.Item) error {
	a, err := r.output(negotiate.AllForms)
	if err != nil {
		return err
	}
	if a.Form != negotiate.Object {
		return r.writeForm(code, a, item.Object())
	}
	m := a.Media
	if !m.Stored {
		m = negotiate.JSON
	}
	data, err := r.res.encoded(r.Context(), item, m)
	if err != nil {
		return err
	}
	if a.Media == negotiate.YAML || (a.Media == negotiate.JSON && negotiate.IsPretty(r.Request)) {
		if data, err = r.transcode(data, a.Media, true); err != nil {
			return err
		}
	}
	return r.writeBody(code, a.Media.ContentType, data)
}

// output returns how an answer with objects of the resource is encoded.
func (r *responder) output(can negotiate.Forms) (negotiate.Output, error) {
	can.NoProtobuf = !r.res.Supports(api.Protobuf)
	a, err := negotiate.Response(r.Request, can)
	if err != nil && can.NoProtobuf {
		can.NoProtobuf = false
		if a, possible := negotiate.Response(r.Request, can); possible == nil && a.Media == negotiate.Protobuf {
			return a, apistatus.NotMarshalable(r.res.New())
		}
	}
	return a, err
}

// writeUnstored answers a dry run: with what would have been stored.
func (r *responder) writeUnstored(code int, obj api.Object) error {
	a, err := r.output(negotiate.AllForms)
	if err != nil {
		return err
	}
	if a.Form != negotiate.Object {
		return r.writeForm(code, a, obj)
	}
	if obj, err = r.res.fromStored(r.Context(), obj); err != nil {
		return err
	}
	return r.writeEncoded(code, a, obj, r.res.GroupVersionKind)
}

// writeObject answers with an object that is not stored (tokens, usage, component statuses). It
// may be changed here.
func (r *responder) writeObject(code int, obj runtime.Object, gvk schema.GroupVersionKind) error {
	a, err := negotiate.Response(r.Request, negotiate.AllForms)
	if err != nil {
		return err
	}
	if own, ok := obj.(api.Object); ok && a.Form != negotiate.Object && gvk == r.res.GroupVersionKind {
		return r.writeForm(code, a, own)
	}
	body, err := r.encode(obj, gvk, a.Media)
	if err != nil {
		return err
	}
	return r.writeBody(code, a.Media.ContentType, body)
}

// writeForm answers with an object as a table of one row, or as its metadata.
func (r *responder) writeForm(code int, a negotiate.Output, obj api.Object) error {
	gv := schema.GroupVersion{Group: metav1.GroupName, Version: a.Version}
	if a.Form == negotiate.PartialObjectMetadata {
		if a.List {
			return apistatus.NotOfThatForm("you requested PartialObjectMetadataList, but the requested object is not a list (*%s)", r.res.internalType())
		}
		return r.writeEncoded(code, a, partial(obj), gv.WithKind("PartialObjectMetadata"))
	}
	include, err := includeObject(r.Request)
	if err != nil {
		return err
	}
	table := r.res.columns.table(metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()}, true)
	row, err := r.res.row(r.Context(), obj, include, a.Version)
	if err != nil {
		return err
	}
	table.Rows = append(table.Rows, row)
	return r.writeEncoded(code, a, table, gv.WithKind("Table"))
}

func (r *responder) writeEncoded(code int, a negotiate.Output, obj runtime.Object, gvk schema.GroupVersionKind) error {
	body, err := r.encode(obj, gvk, a.Media)
	if err != nil {
		return err
	}
	return r.writeBody(code, a.Media.ContentType, body)
}

// writeSuccess answers with a Status about the object.
func (r *responder) writeSuccess(code int, details *metav1.StatusDetails) error {
	status := &metav1.Status{Status: metav1.StatusSuccess, Details: details}
	if code == http.StatusCreated {
		status.Code = http.StatusCreated
	}
	r.w.Status = status
	return r.writeObject(code, status, apistatus.GVK)
}

// internalType is what upstream calls the kind in the texts that show its type in memory: core.ConfigMap, rbac.Role.
func (r *resource) internalType() string {
	k := r.Storage()
	group, _, _ := strings.Cut(k.Group, ".")
	return cmp.Or(group, "core") + "." + k.Kind
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}
}

// renamed returns the error of a request to a kind that is stored in another group, about the kind as it is served:
// events.events.k8s.io. A retired version has the names of the one that is stored.
func (r *resource) renamed(err error) error {
	if err == nil || r == nil || r.retirement != "" || r.Group == r.Storage().Group {
		return err
	}
	is := func(d *metav1.StatusDetails) bool {
		return d != nil && d.Kind == r.Plural && d.Group == r.Storage().Group
	}
	switch d := apistatus.Of(err).Details; {
	case !is(d):
		return err
	case apierrors.IsNotFound(err):
		return apierrors.NewNotFound(r.groupResource(), d.Name)
	case apierrors.IsAlreadyExists(err) && d.RetryAfterSeconds == 0:
		return apierrors.NewAlreadyExists(r.groupResource(), d.Name)
	}
	return err
}

// fail answers with err as a Status, in a media type that the client accepts. An answer that
// has begun is broken off.
func (s *Server) fail(w *connection.Writer, req *http.Request, err error) {
	if w.Code != 0 {
		s.Log.Debug("answer broken off", "path", req.URL.Path, "err", err)
		panic(http.ErrAbortHandler)
	}
	status := apistatus.Of(err)
	w.Status = status
	if status.Code >= 500 {
		s.Log.Warn("request failed", "method", req.Method, "path", req.URL.Path, "err", err)
	}
	if d := status.Details; d != nil && d.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(d.RetryAfterSeconds)))
	}
	if status.Code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="wheelhouse"`)
	}
	out, acceptErr := negotiate.Response(req, negotiate.NoForms)
	if acceptErr != nil {
		out = negotiate.Output{Media: negotiate.JSON}
	}
	body, encodeErr := negotiate.Encode(status, apistatus.GVK, out.Media, negotiate.IsPretty(req))
	if encodeErr != nil {
		http.Error(w, status.Message, int(status.Code))
		return
	}
	h := w.Header()
	h.Set("Content-Type", out.Media.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache, private")
	w.WriteHeader(int(status.Code))
	_, _ = w.Write(body)
}

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
func (r *responder) mayRenderItems(items []*store.Item, count func(*store.Item) int) error {
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
func (r *responder) transcode(data []byte, m *negotiate.Media, pretty bool) ([]byte, error) {
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
func (r *responder) encode(obj runtime.Object, gvk schema.GroupVersionKind, m *negotiate.Media) ([]byte, error) {
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
func (r *responder) mayRenderTable(items []*store.Item, include metav1.IncludeObjectPolicy) error {
	if include == metav1.IncludeObject {
		return r.mayRenderItems(items, wholeSize)
	}
	return r.mayRenderItems(items, metadataSize)
}
