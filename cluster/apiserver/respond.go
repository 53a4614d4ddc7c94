package apiserver

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"

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
func (r *request) writeBody(code int, contentType string, body []byte) error {
	return r.writeParts(code, contentType, len(body), func(w io.Writer) error {
		_, err := w.Write(body)
		return err
	})
}

// writeParts answers with a body of known size that `write` writes in pieces.
func (r *request) writeParts(code int, contentType string, size int, write func(io.Writer) error) error {
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

// quiet drops the error of a write: the client is gone.
func quiet(error) error { return nil }

// wantsGzip reports whether the client accepts gzip, and its network is slower than compressing.
func (r *request) wantsGzip() bool {
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
func (r *request) writeItem(code int, item *store.Item) error {
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
func (r *request) output(can negotiate.Forms) (negotiate.Output, error) {
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
func (r *request) writeUnstored(code int, obj api.Object) error {
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
func (r *request) writeObject(code int, obj runtime.Object, gvk schema.GroupVersionKind) error {
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
func (r *request) writeForm(code int, a negotiate.Output, obj api.Object) error {
	gv := schema.GroupVersion{Group: metav1.GroupName, Version: a.Version}
	if a.Form == negotiate.PartialObjectMetadata {
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

func (r *request) writeEncoded(code int, a negotiate.Output, obj runtime.Object, gvk schema.GroupVersionKind) error {
	body, err := r.encode(obj, gvk, a.Media)
	if err != nil {
		return err
	}
	return r.writeBody(code, a.Media.ContentType, body)
}

// writeSuccess answers with a Status about the object.
func (r *request) writeSuccess(code int, details *metav1.StatusDetails) error {
	status := &metav1.Status{Status: metav1.StatusSuccess, Details: details}
	if code == http.StatusCreated {
		status.Code = http.StatusCreated
	}
	r.w.Status = status
	return r.writeObject(code, status, apistatus.GVK)
}

func (r *resource) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Plural}
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
